// Convolutions of 3x3 (stride 1, padding 1) and 4x4 (stride 2, padding 1) by Winograd's minimal filtering, float32, channels last.
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016): Y = A' [(G g G') * (B' d B)] A. A tile of 4x4 outputs
// costs 36 products a pair of channels instead of 144 (3x3), or 4 x 25 instead of 256 (4x4 with stride 2, taken as four 2x2 convolutions
// of the four phases of the input). The products of one of the 36 or 25 points are a matrix product over channels.
// The gradient of the weights is the adjoint of the same formula; that of the input is a convolution by the flipped, transposed weights.
//
// Results do not depend on the number of threads: no sum is split among them.

#include <omp.h>

#include <cstdlib>

#include "winograd.h"

extern "C" {

// What is read from where and written to where. The input has `groups` parts (one, or four phases), whose tile (ty, tx) begins at
// in_step * TILE * ty + group_row, and that meet every tap_step-th tap from (first_row, first_column) on. rows x columns outputs of a
// picture go to the pixels out_step * (row, column) + (out_row, out_column).
struct Geometry {
    int64_t taps, batch, in_height, in_width, in_step, rows, columns, out_height, out_width, out_step, out_row, out_column;
    int64_t tap_step, groups, group_row[4], group_column[4], first_row[4], first_column[4];
};

struct Image {  // pixels `pixel` floats apart; rows and pictures follow one another without a gap
    float* data;
    int64_t pixel;
};

struct Weights {  // with the distances in floats between neighbors along each axis
    float* data;
    int64_t inputs, outputs, in, out, row, column;
};

// out <- scale * leaky_relu(y + bias) + first + second; then, with a mask, the channels from mask_from on are carried back through a leaky
// relu whose output was `mask` (and no activation is applied before). Everything but `slope` and `scale` may be absent.
struct Finish {
    const float* bias;
    float slope, scale;
    Image first, second, mask;
    int64_t mask_from;
};

// Gradients of one convolution's weights and bias (may be absent), times `scale`: `received` is the gradient of its outputs, its inputs are
// the first `weights.inputs` channels of the picture.
struct Target {
    Image received;
    Weights weights;
    float* bias;
    float scale;
};
}

namespace {

constexpr int64_t CACHE_BYTES = 320 << 10;   // of transformed tiles, for one thread: they should stay in its second-level cache
constexpr int64_t SHARED_TILES = 96;        // transformed tiles of all threads together: in the last-level cache
constexpr int64_t MANY_WEIGHTS = 6 << 20;    // bytes of transformed weights from which on they should be read as rarely as possible
constexpr int64_t GRADIENT_TILES = 64;       // tiles summed at once in a gradient of weights: what is read again fits the caches

struct Range {
    int64_t begin, end;
};

inline Range share(int64_t n, int part, int parts) { return {n * part / parts, n * (part + 1) / parts}; }

// Memory of the calling thread, kept from call to call.
struct Scratch {
    float* data = nullptr;
    size_t size = 0;
    float* get(size_t floats) {
        if (floats > size) {
            std::free(data);
            size = (floats + 1023) / 1024 * 1024;
            data = static_cast<float*>(std::aligned_alloc(4096, size * sizeof(float)));
            if (!data) size = 0;
        }
        return data;
    }
    ~Scratch() { std::free(data); }
};
thread_local Scratch scratch;

struct Tiles {
    int64_t down, across, count;
    explicit Tiles(const Geometry& g) : down((g.rows + TILE - 1) / TILE), across((g.columns + TILE - 1) / TILE), count(g.batch * down * across) {}
};

// Where the element (point, tile, channel) of a transformed picture lies.
struct Layout {
    int64_t point, tile, panel;
    float* at(float* data, int64_t t, int64_t channel) const { return data + t * tile + channel / PANEL * panel + channel % PANEL; }
};

// Of the PANEL outputs from `output` on; u: points x inputs x PANEL outputs.
template <int N> void transform_weights(const Geometry& g, const Weights& w, int64_t output, float* u, int64_t u_point) {
    constexpr int T = N + 1 - TILE;
    for (int64_t group = 0; group < g.groups; group++)
        for (int64_t i = 0; i < w.inputs; i++) {
            alignas(64) float taps[T * T][PANEL];
            const float* from = w.data + output * w.out + i * w.in + g.first_row[group] * w.row + g.first_column[group] * w.column;
            for (int k = 0; k < PANEL; k++)
                for (int y = 0; y < T; y++)
                    for (int x = 0; x < T; x++) taps[y * T + x][k] = from[k * w.out + g.tap_step * (y * w.row + x * w.column)];
            float* to = u + (group * w.inputs + i) * PANEL;
            for (int j = 0; j < PANEL; j += WIDTH) {
                vec in[T * T], half[N * T], out[N];
                for (int t = 0; t < T * T; t++) in[t] = load(taps[t] + j);
                for (int x = 0; x < T; x++) Axis<N>::weight(in + x, T, half + x, T);
                for (int y = 0; y < N; y++) {
                    Axis<N>::weight(half + y * T, 1, out, 1);
                    for (int x = 0; x < N; x++) store(to + (y * N + x) * u_point + j, out[x]);
                }
            }
        }
}

// One block of PANEL x PANEL channels, u: points x inputs x outputs.
template <int N>
void transform_weights_adjoint(const Geometry& g, const float* u, const Weights& w, float scale, int64_t group, int64_t input, int64_t output) {
    constexpr int T = N + 1 - TILE;
    float* to = w.data + output * w.out + input * w.in + g.first_row[group] * w.row + g.first_column[group] * w.column;
    for (int64_t i = 0; i < PANEL; i++)
        for (int j = 0; j < PANEL; j += WIDTH) {
            vec in[N], half[N * T], out[T * T];
            for (int y = 0; y < N; y++) {
                for (int x = 0; x < N; x++) in[x] = load(u + (y * N + x) * PANEL * PANEL + i * PANEL + j);
                Axis<N>::weight_adjoint(in, 1, half + y * T, 1);
            }
            for (int x = 0; x < T; x++) Axis<N>::weight_adjoint(half + x, T, out + x, T);
            for (int k = 0; k < WIDTH; k++)
                for (int y = 0; y < T; y++)
                    for (int x = 0; x < T; x++)
                        to[(j + k) * w.out + i * w.in + g.tap_step * (y * w.row + x * w.column)] = scale * out[y * T + x][k];
        }
}

template <int N>
void transform_input(const Geometry& g, const Tiles& tiles, Image in, int64_t channels, float* v, const Layout& layout, int64_t first, Range range) {
    alignas(64) static const float zeros[4096] = {};
    const int64_t next = TILE * g.in_step * in.pixel;  // from a pixel to that of the next tile
    for (int64_t tile = range.begin; tile < range.end; tile++) {
        const int64_t b = tile / (tiles.down * tiles.across), ty = tile / tiles.across % tiles.down, tx = tile % tiles.across;
        const float* picture = in.data + b * g.in_height * g.in_width * in.pixel;
        for (int64_t group = 0; group < g.groups; group++) {
            const float* at[N * N];
            for (int y = 0; y < N; y++)
                for (int x = 0; x < N; x++) {
                    const int64_t row = g.in_step * (TILE * ty + y) + g.group_row[group], column = g.in_step * (TILE * tx + x) + g.group_column[group];
                    const bool inside = row >= 0 && row < g.in_height && column >= 0 && column < g.in_width;
                    at[y * N + x] = inside ? picture + (row * g.in_width + column) * in.pixel : zeros;
                }
            for (int64_t i = 0; i < channels; i += WIDTH) {
                if (i % PANEL == 0)
                    for (int y = 0; y < N; y++)
                        for (int x = N - TILE; x < N; x++) __builtin_prefetch(at[y * N + x] + i + next);
                float* to = layout.at(v, tile - first, group * channels + i);
                vec d[N], half[N * N], out[N];
                for (int x = 0; x < N; x++) {
                    for (int y = 0; y < N; y++) d[y] = load(at[y * N + x] + i);
                    Axis<N>::input(d, 1, half + x, N);
                }
                for (int y = 0; y < N; y++) {
                    Axis<N>::input(half + y * N, 1, out, 1);
                    for (int x = 0; x < N; x++) store(to + (y * N + x) * layout.point, out[x]);
                }
            }
        }
    }
}

template <int N>
void transform_received(const Geometry& g, const Tiles& tiles, Image received, int64_t channels, float* m, const Layout& layout, int64_t first, Range range) {
    for (int64_t tile = range.begin; tile < range.end; tile++) {
        const int64_t b = tile / (tiles.down * tiles.across), ty = tile / tiles.across % tiles.down, tx = tile % tiles.across;
        for (int64_t k = 0; k < channels; k += WIDTH) {
            float* to = layout.at(m, tile - first, k);
            vec y[TILE], half[N * TILE], out[N];
            for (int x = 0; x < TILE; x++) {
                for (int r = 0; r < TILE; r++) {
                    const int64_t row = TILE * ty + r, column = TILE * tx + x;
                    const bool inside = row < g.rows && column < g.columns;
                    y[r] = inside ? load(received.data + ((b * g.rows + row) * g.columns + column) * received.pixel + k) : vec{};
                }
                Axis<N>::output_adjoint(y, 1, half + x, TILE);
            }
            for (int r = 0; r < N; r++) {
                Axis<N>::output_adjoint(half + r * TILE, 1, out, 1);
                for (int x = 0; x < N; x++) store(to + (r * N + x) * layout.point, out[x]);
            }
        }
    }
}

inline vec finished(const Finish& f, vec value, vec bias, int64_t pixel, int64_t k) {
    const auto leaky = [&f](vec x, vec sign) { return sign > 0.0f ? x : f.slope * x; };
    value += bias;
    if (f.slope != 1.0f && !f.mask.data) value = leaky(value, value);
    value *= f.scale;
    if (f.first.data) value += load(f.first.data + pixel * f.first.pixel + k);
    if (f.second.data) value += load(f.second.data + pixel * f.second.pixel + k);
    if (f.mask.data && k >= f.mask_from) value = leaky(value, load(f.mask.data + pixel * f.mask.pixel + k));
    return value;
}

template <int N>
void transform_output(const Geometry& g, const Tiles& tiles, const float* m, int64_t m_point, Range channels, Image out, const Finish& f, int64_t first, Range range) {
    for (int64_t tile = range.begin; tile < range.end; tile++) {
        const int64_t b = tile / (tiles.down * tiles.across), ty = tile / tiles.across % tiles.down, tx = tile % tiles.across;
        const int64_t height = g.rows - TILE * ty < TILE ? g.rows - TILE * ty : TILE, width = g.columns - TILE * tx < TILE ? g.columns - TILE * tx : TILE;
        for (int64_t k = channels.begin; k < channels.end; k += WIDTH) {
            const float* from = m + (tile - first) * (channels.end - channels.begin) + k - channels.begin;
            vec in[N], half[TILE * N], y[TILE * TILE];
            for (int x = 0; x < N; x++) {
                for (int r = 0; r < N; r++) in[r] = load(from + (r * N + x) * m_point);
                Axis<N>::output(in, 1, half + x, N);
            }
            for (int r = 0; r < TILE; r++) Axis<N>::output(half + r * N, 1, y + r * TILE, 1);
            const vec bias = f.bias ? load(f.bias + k) : vec{};
            for (int64_t r = 0; r < height; r++)
                for (int64_t x = 0; x < width; x++) {
                    const int64_t row = g.out_step * (TILE * ty + r) + g.out_row, column = g.out_step * (TILE * tx + x) + g.out_column;
                    const int64_t pixel = (b * g.out_height + row) * g.out_width + column;
                    store(out.data + pixel * out.pixel + k, finished(f, y[r * TILE + x], bias, pixel, k));
                }
        }
    }
}

// Few weights: they are transformed once, and each thread takes chunks of tiles through all phases in its own cache.
template <int N> bool convolve_few(const Geometry& g, Image in, const Weights& w, Image out, const Finish& finish, int threads) {
    const Tiles tiles(g);
    const int64_t depth = g.groups * w.inputs, panels = w.outputs / PANEL, u_point = depth * PANEL, most = (tiles.count + threads - 1) / threads;
    const int64_t fit = CACHE_BYTES / (4 * N * N * (depth + w.outputs)) / ROWS * ROWS, wanted = fit < 2 * ROWS ? 2 * ROWS : fit;
    const int64_t chunk = wanted < most ? wanted : most, chunks = (tiles.count + chunk - 1) / chunk;
    const Layout layout{chunk * depth + PANEL, depth, PANEL};  // + PANEL: distances of powers of 2 would share few lines of the cache
    const int64_t m_point = chunk * w.outputs + PANEL, own = N * N * (layout.point + m_point);
    float* u = scratch.get(N * N * panels * u_point + threads * own);
    if (!u) return false;
#pragma omp parallel num_threads(threads)
    {
        const int part = omp_get_thread_num(), parts = omp_get_num_threads();
        float *v = u + N * N * panels * u_point + part * own, *m = v + N * N * layout.point;
        const Range mine = share(chunks, part, parts), weights = share(panels, part, parts);
        for (int64_t i = weights.begin; i < weights.end; i++) transform_weights<N>(g, w, i * PANEL, u + i * N * N * u_point, u_point);
#pragma omp barrier
        for (int64_t first = mine.begin * chunk; first < mine.end * chunk && first < tiles.count; first += chunk) {
            const int64_t count = first + chunk < tiles.count ? chunk : tiles.count - first;
            transform_input<N>(g, tiles, in, w.inputs, v, layout, first, {first, first + count});
            for (int64_t point = 0; point < N * N; point++)
                for (int64_t i = 0; i < panels; i++)
                    product(count, depth, {v + point * layout.point, depth, 1}, u + (i * N * N + point) * u_point, PANEL, m + point * m_point + i * PANEL, w.outputs, false);
            transform_output<N>(g, tiles, m, m_point, {0, w.outputs}, out, finish, first, {first, first + count});
        }
    }
    return true;
}

// Many weights: all threads share the transformed tiles, and each takes panels of outputs through all other phases, so that no more than a
// panel of transformed weights, which are several times as many as they were, has to be kept at once.
template <int N> bool convolve_many(const Geometry& g, Image in, const Weights& w, Image out, const Finish& finish, int threads) {
    const Tiles tiles(g);
    const int64_t depth = g.groups * w.inputs, u_point = depth * PANEL;
    const int64_t parts_of_tiles = (tiles.count + SHARED_TILES - 1) / SHARED_TILES, chunk = (tiles.count + parts_of_tiles - 1) / parts_of_tiles;
    const Layout layout{chunk * depth + PANEL, depth, PANEL};
    const int64_t m_point = chunk * PANEL, own = N * N * (u_point + m_point);
    float* v = scratch.get(N * N * layout.point + threads * own);
    if (!v) return false;
#pragma omp parallel num_threads(threads)
    {
        const int part = omp_get_thread_num(), parts = omp_get_num_threads();
        float *u = v + N * N * layout.point + part * own, *m = u + N * N * u_point;
        const Range mine = share(w.outputs / PANEL, part, parts);
        for (int64_t first = 0; first < tiles.count; first += chunk) {
            const int64_t count = first + chunk < tiles.count ? chunk : tiles.count - first;
            const Range some = share(count, part, parts);
            transform_input<N>(g, tiles, in, w.inputs, v, layout, first, {first + some.begin, first + some.end});
#pragma omp barrier
            for (int64_t k = mine.begin * PANEL; k < mine.end * PANEL; k += PANEL) {
                transform_weights<N>(g, w, k, u, u_point);
                for (int64_t point = 0; point < N * N; point++)
                    product(count, depth, {v + point * layout.point, depth, 1}, u + point * u_point, PANEL, m + point * m_point, PANEL, false);
                transform_output<N>(g, tiles, m, m_point, {k, k + PANEL}, out, finish, first, {first, first + count});
            }
#pragma omp barrier
        }
    }
    return true;
}

template <int N> bool convolve(const Geometry& g, Image in, const Weights& w, Image out, const Finish& finish, int threads) {
    const bool many = 4 * N * N * g.groups * w.inputs * w.outputs > MANY_WEIGHTS;
    return (many ? convolve_many<N> : convolve_few<N>)(g, in, w, out, finish, threads);
}

// Several convolutions of the same picture at once, whose tiles are then transformed once.
template <int N> bool weight_gradients(const Geometry& g, Image in, int64_t channels, const Target* targets, int64_t count, int threads) {
    const Tiles tiles(g);
    const int64_t depth = g.groups * channels;
    int64_t outputs = 0, units = 0;  // units: blocks of PANEL x PANEL channels, each of which one thread sums
    for (const Target* t = targets; t < targets + count; t++) {
        outputs += t->weights.outputs;
        units += g.groups * t->weights.inputs / PANEL * (t->weights.outputs / PANEL);
    }
    const int64_t wanted = (tiles.count + GRADIENT_TILES / 2) / GRADIENT_TILES, chunk = wanted > 1 ? (tiles.count + wanted - 1) / wanted : tiles.count;
    const bool once = chunk == tiles.count;
    const Layout v_layout{chunk * depth + PANEL, PANEL, chunk * PANEL}, m_layout{chunk * outputs + PANEL, PANEL, chunk * PANEL};
    constexpr int64_t BLOCK = N * N * PANEL * PANEL;
    float* v = scratch.get(N * N * (v_layout.point + m_layout.point) + BLOCK * (once ? threads : units));
    if (!v) return false;
    float *m = v + N * N * v_layout.point, *u = m + N * N * m_layout.point;
#pragma omp parallel num_threads(threads)
    {
        const int part = omp_get_thread_num(), parts = omp_get_num_threads();
        for (int64_t first = 0; first < tiles.count; first += chunk) {
            const int64_t last = first + chunk < tiles.count ? first + chunk : tiles.count;
            const Range some = share(last - first, part, parts), range{first + some.begin, first + some.end}, mine = share(units, part, parts);
            transform_input<N>(g, tiles, in, channels, v, v_layout, first, range);
            float* to = m;
            for (const Target* t = targets; t < targets + count; to += chunk * t++->weights.outputs)
                transform_received<N>(g, tiles, t->received, t->weights.outputs, to, m_layout, first, range);
#pragma omp barrier
            int64_t unit = 0;
            for (int64_t i = 0; i < depth; i += PANEL) {
                const float* right = m;
                for (const Target* t = targets; t < targets + count; right += chunk * t++->weights.outputs)
                    for (int64_t k = 0; i < g.groups * t->weights.inputs && k < t->weights.outputs; k += PANEL, unit++) {
                        if (unit < mine.begin || unit >= mine.end) continue;
                        float* sum = u + BLOCK * (once ? part : unit);
                        for (int64_t point = 0; point < N * N; point++)
                            product(PANEL, last - first, {v + point * v_layout.point + i * chunk, 1, PANEL}, right + point * m_layout.point + k * chunk,
                                    PANEL, sum + point * PANEL * PANEL, PANEL, first > 0);
                        if (last == tiles.count) transform_weights_adjoint<N>(g, sum, t->weights, t->scale, i / channels, i % channels, k);
                    }
            }
#pragma omp barrier
        }
        for (const Target* t = targets; t < targets + count; t++) {
            const Range mine = share(t->bias ? t->weights.outputs / PANEL : 0, part, parts);
            for (int64_t k = mine.begin * PANEL; k < mine.end * PANEL; k += WIDTH) {
                vec total{};
                for (int64_t row = 0; row < g.batch * g.rows; row++) {
                    vec sum{};  // a row at a time: the error of a long sum grows with its length
                    for (int64_t x = 0; x < g.columns; x++) sum += load(t->received.data + (row * g.columns + x) * t->received.pixel + k);
                    total += sum;
                }
                store(t->bias + k, t->scale * total);
            }
        }
    }
    return true;
}

}  // namespace

extern "C" {

// Both return 0, or 1 where there was no memory.
int upres_convolve(const Geometry* g, Image in, const Weights* weights, Image out, const Finish* finish, int threads) {
    return !(g->taps == 3 ? convolve<6> : convolve<5>)(*g, in, *weights, out, *finish, threads);
}

int upres_weight_gradients(const Geometry* g, Image in, int64_t channels, const Target* targets, int64_t count, int threads) {
    return !(g->taps == 3 ? weight_gradients<6> : weight_gradients<5>)(*g, in, channels, targets, count, threads);
}
}
