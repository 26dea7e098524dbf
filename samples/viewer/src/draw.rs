//! Pictures and shapes onto any render target, by two pipelines.

use bytemuck::{Pod, Zeroable};
use conclave::codecs::{Color, Picture, Plane, Range, Size};

use crate::layout::Rect;

/// A shape without a picture. Colours are red, green, blue and opacity, from 0 to 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Shape {
    a: [f32; 2],
    b: [f32; 2],
    color: [f32; 4],
    round: f32,
    line: f32,
    kind: u32,
}

impl Shape {
    /// A filled box with rounded corners.
    pub fn fill(rect: Rect, round: f32, color: [f32; 4]) -> Self {
        let round = round.min(rect.w / 2.0).min(rect.h / 2.0);
        Self { a: [rect.x, rect.y], b: [rect.right(), rect.bottom()], color, round, line: 0.0, kind: 0 }
    }

    /// The outline of such a box, `line` pixels wide and inside of it.
    pub fn outline(rect: Rect, round: f32, line: f32, color: [f32; 4]) -> Self {
        Self { line, ..Self::fill(rect, round, color) }
    }

    /// A stroke with round ends.
    pub fn stroke(a: [f32; 2], b: [f32; 2], radius: f32, color: [f32; 4]) -> Self {
        Self { a, b, color, round: radius, line: 0.0, kind: 1 }
    }

    /// The face of the shield, whose 24 units fill `rect`, smaller by `inset` all around.
    pub fn shield(rect: Rect, inset: f32, color: [f32; 4]) -> Self {
        Self { a: [rect.x, rect.y], b: [rect.right(), rect.bottom()], color, round: inset, line: 0.0, kind: 2 }
    }
}

/// Where a picture stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tile {
    /// Which picture, as in [`Painter::take`].
    pub slot: usize,
    /// Where.
    pub rect: Rect,
    /// Radius of the corners in pixels; 0 for square ones.
    pub corner: f32,
    /// Left and right exchanged.
    pub mirror: bool,
}

/// One drawing, from the back to the front.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    /// Behind the pictures.
    pub under: Vec<Shape>,
    /// The pictures.
    pub tiles: Vec<Tile>,
    /// Before them.
    pub over: Vec<Shape>,
}

/// What the window shows where nothing else is.
pub const BACKGROUND: [f32; 3] = [0.078, 0.086, 0.106];

/// The pipelines and the pictures of one device.
pub struct Painter {
    device: wgpu::Device,
    queue: wgpu::Queue,
    shapes: wgpu::RenderPipeline,
    pictures: wgpu::RenderPipeline,
    sampler: wgpu::Sampler,
    slots: Vec<Option<Planes>>,
}

struct Planes {
    size: Size,
    color: Color,
    textures: [wgpu::Texture; 3],
    views: [wgpu::TextureView; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Place {
    window: [f32; 2],
    corner: f32,
    mirror: f32,
    rect: [f32; 4],
    luma: [f32; 2],
    chroma: [f32; 2],
    rgb: [[f32; 4]; 3],
}

impl Painter {
    /// Pipelines for targets of `format`, which stores what it is given: none of the sRGB formats, since samples are
    /// brought to the screen's own transfer already.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, format: wgpu::TextureFormat) -> Self {
        let attributes = wgpu::vertex_attr_array![0 => Float32x2, 1 => Float32x2, 2 => Float32x4, 3 => Float32, 4 => Float32, 5 => Uint32];
        let instances = wgpu::VertexBufferLayout {
            array_stride: size_of::<Shape>() as u64,
            step_mode: wgpu::VertexStepMode::Instance,
            attributes: &attributes,
        };
        let sampler = device.create_sampler(&wgpu::SamplerDescriptor {
            mag_filter: wgpu::FilterMode::Linear,
            min_filter: wgpu::FilterMode::Linear,
            ..Default::default()
        });
        Self {
            shapes: pipeline(device, include_str!("shapes.wgsl"), &[Some(instances)], format),
            pictures: pipeline(device, include_str!("picture.wgsl"), &[], format),
            sampler,
            slots: Vec::new(),
            device: device.clone(),
            queue: queue.clone(),
        }
    }

    /// Takes `picture` as that of `slot`; `false` where its sides exceed the device's textures. Textures are made anew where
    /// its size changes.
    pub fn take(&mut self, slot: usize, picture: &Picture) -> bool {
        let (size, limit) = (picture.size(), self.device.limits().max_texture_dimension_2d);
        if size.area() == 0 || size.width > limit || size.height > limit {
            return false;
        }
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let planes = match self.slots[slot].take().filter(|planes| planes.size == size) {
            Some(planes) => Planes { color: picture.color, ..planes },
            None => Planes::new(&self.device, picture),
        };
        for (plane, texture) in Plane::ALL.into_iter().zip(&planes.textures) {
            let Size { width, height } = picture.plane_size(plane);
            let rows = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(width), rows_per_image: None };
            let extent = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
            self.queue.write_texture(texture.as_image_copy(), picture.plane(plane), rows, extent);
        }
        self.slots[slot] = Some(planes);
        true
    }

    /// Draws `scene` over everything that `target`, of `size`, holds, and submits it.
    pub fn draw(&self, target: &wgpu::TextureView, size: Size, scene: &Scene) {
        let window = [size.width as f32, size.height as f32];
        let tiles: Vec<_> = scene.tiles.iter().filter_map(|tile| self.place(window, tile)).collect();
        let (under, over) = (self.instances(&scene.under), self.instances(&scene.over));
        let uniform = self.uniform(&[window[0], window[1], 0.0, 0.0]);
        let shapes = self.bind(&self.shapes, &[entry(0, uniform.as_entire_binding())]);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let [r, g, b] = BACKGROUND.map(f64::from);
        let clear = wgpu::LoadOp::Clear(wgpu::Color { r, g, b, a: 1.0 });
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("window"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: target,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations { load: clear, store: wgpu::StoreOp::Store },
            })],
            ..Default::default()
        });
        let several = |pass: &mut wgpu::RenderPass<'_>, buffer: &Option<wgpu::Buffer>, count: usize| {
            let Some(buffer) = buffer else { return };
            pass.set_pipeline(&self.shapes);
            pass.set_bind_group(0, &shapes, &[]);
            pass.set_vertex_buffer(0, buffer.slice(..));
            pass.draw(0..4, 0..count as u32);
        };
        several(&mut pass, &under, scene.under.len());
        pass.set_pipeline(&self.pictures);
        for tile in &tiles {
            pass.set_bind_group(0, tile, &[]);
            pass.draw(0..4, 0..1);
        }
        several(&mut pass, &over, scene.over.len());
        drop(pass);
        self.queue.submit([encoder.finish()]);
    }

    /// What one tile is drawn with; `None` where it has no picture or no room.
    fn place(&self, window: [f32; 2], tile: &Tile) -> Option<wgpu::BindGroup> {
        let planes = self.slots.get(tile.slot)?.as_ref()?;
        let Rect { x, y, w, h } = (!tile.rect.is_empty()).then_some(tile.rect)?;
        let pair = |size: Size, by: u32| [(size.width * by) as f32, (size.height * by) as f32];
        let uniform = self.uniform(&[Place {
            window,
            corner: tile.corner.min(w / 2.0).min(h / 2.0),
            mirror: f32::from(u8::from(tile.mirror)),
            rect: [x, y, w, h],
            luma: pair(planes.size, 1),
            chroma: pair(planes.size.chroma(), 2),
            rgb: rows(planes.color),
        }]);
        let [luma, blues, reds] = planes.views.each_ref().map(wgpu::BindingResource::TextureView);
        let sampler = wgpu::BindingResource::Sampler(&self.sampler);
        let entries =
            [entry(0, uniform.as_entire_binding()), entry(1, sampler), entry(2, luma), entry(3, blues), entry(4, reds)];
        Some(self.bind(&self.pictures, &entries))
    }

    fn bind(&self, pipeline: &wgpu::RenderPipeline, entries: &[wgpu::BindGroupEntry<'_>]) -> wgpu::BindGroup {
        let layout = &pipeline.get_bind_group_layout(0);
        self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries })
    }

    fn uniform<T: Pod>(&self, value: &[T]) -> wgpu::Buffer {
        self.buffer(bytemuck::cast_slice(value), wgpu::BufferUsages::UNIFORM)
    }

    fn instances(&self, shapes: &[Shape]) -> Option<wgpu::Buffer> {
        (!shapes.is_empty()).then(|| self.buffer(bytemuck::cast_slice(shapes), wgpu::BufferUsages::VERTEX))
    }

    /// A buffer with `contents`. Written through the queue: to map one of a device that is lost ends the program.
    fn buffer(&self, contents: &[u8], usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let usage = usage | wgpu::BufferUsages::COPY_DST;
        let size = contents.len() as u64;
        let buffer =
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        self.queue.write_buffer(&buffer, 0, contents);
        buffer
    }
}

impl Planes {
    fn new(device: &wgpu::Device, picture: &Picture) -> Self {
        let textures = Plane::ALL.map(|plane| {
            let Size { width, height } = picture.plane_size(plane);
            device.create_texture(&wgpu::TextureDescriptor {
                label: Some("plane"),
                size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: wgpu::TextureFormat::R8Unorm,
                usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            })
        });
        let views = textures.each_ref().map(|texture| texture.create_view(&Default::default()));
        Self { size: picture.size(), color: picture.color, textures, views }
    }
}

fn entry(binding: u32, resource: wgpu::BindingResource<'_>) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry { binding, resource }
}

/// The rows of R, G and B over (Y, U, V, 1), samples and colours from 0 to 1 (ITU-R BT.601 §2.5, BT.709 §3, BT.2020).
pub fn rows(color: Color) -> [[f32; 4]; 3] {
    let (kr, kb) = color.matrix.weights();
    let (kr, kb) = (kr as f32 / 10_000.0, kb as f32 / 10_000.0);
    let kg = 1.0 - kr - kb;
    let (black, luma, chroma) = match color.range {
        Range::Limited => (16.0, 255.0 / 219.0, 255.0 / 224.0),
        Range::Full => (0.0, 1.0, 1.0),
    };
    let row = |u: f32, v: f32| {
        let (u, v) = (u * chroma, v * chroma);
        [luma, u, v, -(luma * black + (u + v) * 128.0) / 255.0]
    };
    let (red, blue) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb));
    [row(0.0, red), row(-blue * kb / kg, -red * kr / kg), row(blue, 0.0)]
}

fn pipeline(
    device: &wgpu::Device,
    source: &'static str,
    buffers: &[Option<wgpu::VertexBufferLayout<'_>>],
    format: wgpu::TextureFormat,
) -> wgpu::RenderPipeline {
    let source = wgpu::ShaderSource::Wgsl(source.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let blend = Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING);
    let target = wgpu::ColorTargetState { format, blend, write_mask: wgpu::ColorWrites::ALL };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: None,
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("vertex"),
            compilation_options: Default::default(),
            buffers,
        },
        primitive: wgpu::PrimitiveState { topology: wgpu::PrimitiveTopology::TriangleStrip, ..Default::default() },
        depth_stencil: None,
        multisample: Default::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("fragment"),
            compilation_options: Default::default(),
            targets: &[Some(target)],
        }),
        multiview_mask: None,
        cache: None,
    })
}
