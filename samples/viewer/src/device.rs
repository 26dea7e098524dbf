//! The adapter that can draw, and pictures of what was drawn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use conclave::codecs::Size;

/// An opened device. Its errors and its loss are noted, and never end the program.
pub struct Graphics {
    /// Makes textures and pipelines.
    pub device: wgpu::Device,
    /// Takes work.
    pub queue: wgpu::Queue,
    /// As the driver calls the adapter.
    pub name: String,
    lost: Arc<AtomicBool>,
}

/// Why nothing can be drawn.
#[derive(Debug)]
pub struct NoGraphics(String);

impl std::fmt::Display for NoGraphics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hint = "install the driver of the graphics card, or mesa-vulkan-drivers, which draws on the processor";
        write!(f, "no Vulkan adapter draws here ({}); {hint}", self.0)
    }
}

impl std::error::Error for NoGraphics {}

/// The door to the drivers.
pub fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

impl Graphics {
    /// The best adapter that can draw to `surface`, or anywhere.
    ///
    /// # Errors
    /// There is none, or it does not open.
    pub fn open(instance: &wgpu::Instance, surface: Option<&wgpu::Surface<'_>>) -> Result<Self, NoGraphics> {
        Self::open_with_adapter(instance, surface).map(|(graphics, _)| graphics)
    }

    /// The same, with the adapter, which knows what the surface takes.
    ///
    /// # Errors
    /// Those of [`Graphics::open`].
    pub fn open_with_adapter(
        instance: &wgpu::Instance,
        surface: Option<&wgpu::Surface<'_>>,
    ) -> Result<(Self, wgpu::Adapter), NoGraphics> {
        let options = wgpu::RequestAdapterOptions { compatible_surface: surface, ..Default::default() };
        let adapter =
            pollster::block_on(instance.request_adapter(&options)).map_err(|error| NoGraphics(error.to_string()))?;
        let limits = wgpu::Limits::downlevel_defaults().using_resolution(adapter.limits());
        let descriptor =
            wgpu::DeviceDescriptor { label: Some("viewer"), required_limits: limits, ..Default::default() };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| NoGraphics(error.to_string()))?;
        let lost = Arc::new(AtomicBool::new(false));
        let note = lost.clone();
        device.set_device_lost_callback(move |_, _| note.store(true, Ordering::Release));
        let note = lost.clone();
        device.on_uncaptured_error(Arc::new(move |_| note.store(true, Ordering::Release)));
        Ok((Self { device, queue, name: adapter.get_info().name, lost }, adapter))
    }

    /// The device was lost or refused a command: everything made with it is to be made anew.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Counts as lost from now on, for whoever found that the surface is.
    pub fn give_up(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// A texture to draw to and to read back.
    pub fn canvas(&self, size: Size, format: wgpu::TextureFormat) -> wgpu::Texture {
        self.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("canvas"),
            size: wgpu::Extent3d { width: size.width, height: size.height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        })
    }

    /// The pixels of a canvas as tight RGBA; `None` where the device gave none.
    pub fn read(&self, canvas: &wgpu::Texture) -> Option<Vec<u8>> {
        let (width, height) = (canvas.width(), canvas.height());
        let stride = (4 * width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: u64::from(stride) * u64::from(height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(stride), rows_per_image: None };
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let target = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(canvas.as_image_copy(), target, canvas.size());
        self.queue.submit([encoder.finish()]);
        buffer.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        self.device.poll(wgpu::PollType::wait_indefinitely()).ok()?;
        if self.is_lost() {
            return None;
        }
        let mapped = buffer.slice(..).get_mapped_range().ok()?;
        let bytes: &[u8] = &mapped;
        let mut rgba: Vec<u8> = Vec::with_capacity(4 * width as usize * height as usize);
        for row in bytes.chunks_exact(stride as usize) {
            rgba.extend_from_slice(&row[..4 * width as usize]);
        }
        if matches!(canvas.format(), wgpu::TextureFormat::Bgra8Unorm) {
            rgba.chunks_exact_mut(4).for_each(|pixel| pixel.swap(0, 2));
        }
        Some(rgba)
    }
}

/// Writes tight RGBA as PNG.
///
/// # Errors
/// The file system's.
pub fn write_png(path: &std::path::Path, size: Size, rgba: &[u8]) -> anyhow::Result<()> {
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, size.width, size.height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(rgba)?;
    Ok(())
}
