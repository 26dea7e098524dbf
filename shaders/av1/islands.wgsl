// Intra blocks of inter frames, in islands no deeper than eight (twin: islands.rs).
//
// One workgroup walks down the anti-diagonals of 16×16 blocks, as each needs the depths to the left, above, and above to
// the left. In and out: `blocks`. Out: `depths`, one a 16×16, in the memory of the choices; `arguments`, the workgroups
// of each step of `island` in reconstruct.wgsl: none for depths that there are not.

@group(0) @binding(3) var<storage, read> vectors: array<u32>;
@group(0) @binding(4) var<storage, read_write> depths: array<u32>;
@group(0) @binding(5) var<storage, read_write> blocks: array<u32>;
@group(0) @binding(12) var<storage, read_write> arguments: array<u32>;

const DEEPEST: u32 = 8u;

var<workgroup> deepest: atomic<u32>;

fn depth_at(row: u32, col: u32) -> u32 {
    return depths[row * grid_stride(16u) + col];
}

// Of the blocks that one of `cells` 16×16 a side is predicted from.
fn depth_around(row: u32, col: u32, cells: u32) -> u32 {
    var most = 0u;
    for (var i = 0u; i < cells; i += 1u) {
        if col > 0u {
            most = max(most, depth_at(row + i, col - 1u));
        }
        if row > 0u {
            most = max(most, depth_at(row - 1u, col + i));
        }
    }
    if row > 0u && col > 0u {
        most = max(most, depth_at(row - 1u, col - 1u));
    }
    return most;
}

// Word of the record of a cell.
fn cell_at(row: u32, col: u32) -> u32 {
    return (row * cell_stride() + col) * 2u;
}

// Makes the intra blocks among `cells` a side from a cell on inter blocks of the vector that the search found.
fn turn_inter(row: u32, col: u32, cells: u32, size: u32) {
    let side = 8u << size;
    for (var i = 0u; i < cells * cells; i += 1u) {
        let cell = vec2<u32>(row + i / cells, col + i % cells);
        if cell.x < params.rows && cell.y < params.cols {
            let at = cell_at(cell.x, cell.y);
            if reference_of(blocks[at]) == 0u {
                let block = cell * 8u / side;
                blocks[at] = kind_of(size, 1u, false, 0u);
                blocks[at + 1u] = vectors[fine_at(side) + block.x * grid_stride(side) + block.y];
            }
        }
    }
}

// Whether there is an intra block in a 16×16 of 8×8 blocks.
fn has_intra(row: u32, col: u32) -> bool {
    var has = false;
    for (var i = 0u; i < 4u; i += 1u) {
        let cell = vec2<u32>(row + i / 2u, col + i % 2u);
        if cell.x < params.rows && cell.y < params.cols {
            has |= reference_of(blocks[cell_at(cell.x, cell.y)]) == 0u;
        }
    }
    return has;
}

@compute @workgroup_size(64)
fn islands(@builtin(local_invocation_index) lane: u32) {
    let size = grid(16u);
    for (var step = 0u; step < size.x + size.y - 1u; step += 1u) {
        let top = max(step, size.x - 1u) - (size.x - 1u);
        for (var row = top + lane; row < min(step + 1u, size.y); row += GROUP) {
            let col = step - row;
            let kind = blocks[cell_at(2u * row, 2u * col)];
            let log2 = kind & 3u;
            // The quarter of a 32×32 above to the right comes when all around is known, and speaks for the four.
            let large = log2 == 2u;
            if large && (row % 2u != 0u || col % 2u != 1u) {
                continue;
            }
            let left = col - select(0u, 1u, large);
            let cells = select(1u, 2u, large);
            var depth = 0u;
            if select(has_intra(2u * row, 2u * left), reference_of(kind) == 0u, log2 > 0u) {
                depth = depth_around(row, left, cells) + 1u;
                if depth > DEEPEST {
                    turn_inter(2u * row, 2u * left, 2u * cells, log2);
                    depth = 0u;
                }
                atomicMax(&deepest, depth);
            }
            for (var i = 0u; i < cells * cells; i += 1u) {
                depths[(row + i / cells) * grid_stride(16u) + left + i % cells] = depth;
            }
        }
        storageBarrier();
        workgroupBarrier();
    }
    if lane < DEEPEST {
        let count = select(0u, size.x * size.y, lane < atomicLoad(&deepest));
        arguments[3u * lane] = min(count, 32768u);
        arguments[3u * lane + 1u] = (count + 32767u) / 32768u;
        arguments[3u * lane + 2u] = 1u;
    }
}
