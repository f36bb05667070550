// The position term on a processor, row by row of the window, with no more of the map in memory than a row of pixels
// has with a row of the context:
//
//     y_n = Σ_m a_nm V_m,  a_nm = q_n·E_{m−n}
//
// A row of pixels meets a row of the context through one row of the embedding, so that every product here is a small
// one, of a few lines and a few vectors that stay in registers. The context's columns have u entries each; "taps" are
// the r_x·u entries of a window's row. Compiled and called by compiled.py, for numbers of type REAL.

#include <algorithm>
#include <vector>

#define INLINE __attribute__((always_inline)) static inline

#if defined(__AVX512F__)
constexpr int BYTES = 64, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int BYTES = 32, REGISTERS = 16;
#else
constexpr int BYTES = 16, REGISTERS = 32;  // Arm; elsewhere it is correct, and slow
#endif

typedef REAL real;
constexpr int LANES = BYTES / sizeof(real), HALF = LANES / 2;
constexpr int WIDE = REGISTERS / 8;  // vectors of a line that are summed together
constexpr int TAPS = REGISTERS / 4;  // taps whose gradients are
constexpr int EDGE = 4;              // zeros beside a row of the map, for products that read four taps at once

// A vector, and the same anywhere in memory.
template <int SIZE>
struct Vector {
    typedef real type __attribute__((vector_size(SIZE)));
    typedef real loose __attribute__((vector_size(SIZE), aligned(sizeof(real))));
};
typedef Vector<BYTES> Full;
typedef Vector<BYTES / 2> Half;

struct Sizes { int pictures, height, width, h, k, u, v, r_y, r_x; };  // k and v in whole halves of vectors

// Where the factors of a sum lie: steps of its outer and inner loop, and for scalars the step from line to line.
struct Factors { const real* at; long outer, inner, line = 0; };

// out[line] (+)= Σ_outer Σ_inner scalars[outer, inner, line] · vectors[outer, inner]
// for M lines of N vectors, and perhaps half a one.
template <int M, int N, bool AND_HALF>
INLINE void block(int outer, int inner, Factors scalars, Factors vectors, real* out, long step, bool add) {
    typename Full::type sum[M][N + 1];
    typename Half::type rest[M];
    for (int i = 0; i < M; i++) {
        const real* begin = out + i * step;
        for (int n = 0; n < N; n++) sum[i][n] = add ? *(const Full::loose*)(begin + n * LANES) : Full::loose{};
        if (AND_HALF) rest[i] = add ? *(const Half::loose*)(begin + N * LANES) : Half::loose{};
    }
    for (int o = 0; o < outer; o++) {
        const real *s = scalars.at + o * scalars.outer, *from = vectors.at + o * vectors.outer;
        for (int l = 0; l < inner; l++, s += scalars.inner, from += vectors.inner)
            for (int i = 0; i < M; i++) {
                for (int n = 0; n < N; n++) sum[i][n] += s[i * scalars.line] * *(const Full::loose*)(from + n * LANES);
                if (AND_HALF) rest[i] += s[i * scalars.line] * *(const Half::loose*)(from + N * LANES);
            }
    }
    for (int i = 0; i < M; i++) {
        real* begin = out + i * step;
        for (int n = 0; n < N; n++) *(Full::loose*)(begin + n * LANES) = sum[i][n];
        if (AND_HALF) *(Half::loose*)(begin + N * LANES) = rest[i];
    }
}

// The same for lines of so many halves of vectors.
template <int M>
INLINE void lines(int halves, int outer, int inner, Factors scalars, Factors vectors, real* out, long step, bool add) {
    for (; halves >= 2 * WIDE; halves -= 2 * WIDE, vectors.at += WIDE * LANES, out += WIDE * LANES)
        block<M, WIDE, false>(outer, inner, scalars, vectors, out, step, add);
    if (halves == 7) block<M, 3, true>(outer, inner, scalars, vectors, out, step, add);
    if (halves == 6) block<M, 3, false>(outer, inner, scalars, vectors, out, step, add);
    if (halves == 5) block<M, 2, true>(outer, inner, scalars, vectors, out, step, add);
    if (halves == 4) block<M, 2, false>(outer, inner, scalars, vectors, out, step, add);
    if (halves == 3) block<M, 1, true>(outer, inner, scalars, vectors, out, step, add);
    if (halves == 2) block<M, 1, false>(outer, inner, scalars, vectors, out, step, add);
    if (halves == 1) block<M, 0, true>(outer, inner, scalars, vectors, out, step, add);
}

// The same for any number of lines.
INLINE void product(int number, int halves, int outer, int inner, Factors scalars, Factors vectors, real* out,
                    long step, bool add) {
    for (; number >= 4; number -= 4, scalars.at += 4 * scalars.line, out += 4 * step)
        lines<4>(halves, outer, inner, scalars, vectors, out, step, add);
    if (number == 3) lines<3>(halves, outer, inner, scalars, vectors, out, step, add);
    if (number == 2) lines<2>(halves, outer, inner, scalars, vectors, out, step, add);
    if (number == 1) lines<1>(halves, outer, inner, scalars, vectors, out, step, add);
}

static int in_halves(int numbers) { return (numbers + HALF - 1) / HALF; }

struct Range { int first, last; };

// The part of a window of width r that lies inside, seen from a place along an axis.
static Range inside(int place, int length, int r) {
    return {std::max(0, r / 2 - place), std::min(r, length + r / 2 - place)};
}

// PyTorch's own threads, of the OpenMP that it has loaded: they stay awake for a while after each of its operations,
// and others would have to share the cores with them. Where there is none (null), the caller's thread does all.
extern "C" {
__attribute__((weak)) void GOMP_parallel(void (*)(void*), void*, unsigned threads, unsigned flags);
__attribute__((weak)) int omp_get_thread_num();
__attribute__((weak)) int omp_get_num_threads();
}

// Share out 0 … count − 1 among at most so many threads.
template <class Part>
static void share(int threads, int count, Part part) {
    auto one = [=](int thread, int of) { part(thread, (long)count * thread / of, (long)count * (thread + 1) / of); };
    if (threads == 1 || !GOMP_parallel || !omp_get_thread_num || !omp_get_num_threads) return one(0, 1);
    using One = decltype(one);
    auto run = [](void* data) { (*(One*)data)(omp_get_thread_num(), omp_get_num_threads()); };
    GOMP_parallel(run, &one, threads, 0);
}

extern "C" int lanes() { return HALF; }  // that what is read and written is a multiple of

// queries (b, H, W, h, k), values (b, H, W, u, v), by_k: E as (r_y, k, spread), y (b, H, W, h, v)
extern "C" void forward(Sizes z, int threads, int spread, const real* queries, const real* values, const real* by_k,
                        real* y) {
    share(threads, z.pictures * z.height, [=](int, int first, int last) {
        int hk = z.h * z.k, hv = z.h * z.v, uv = z.u * z.v, reach = z.r_x / 2;
        std::vector<real> map(z.h * spread);
        for (long row = first; row < last; row++) {
            Range seen = inside(row % z.height, z.height, z.r_y);
            for (int dy = seen.first; dy < seen.last; dy++) {
                const real* e = by_k + (long)dy * z.k * spread;
                const real* context = values + (row + dy - z.r_y / 2) * z.width * uv;
                for (int x = 0; x < z.width; x++) {
                    Range dx = inside(x, z.width, z.r_x);
                    int begin = dx.first * z.u, taps = dx.last * z.u - begin;
                    const real *q = queries + (row * z.width + x) * hk, *v = context + (x + dx.first - reach) * uv;
                    real* out = y + (row * z.width + x) * hv;
                    Factors by_pixel = {q, 0, 1, z.k}, row_of_e = {e + begin, 0, spread};
                    product(z.h, in_halves(taps), 1, z.k, by_pixel, row_of_e, map.data(), spread, false);
                    Factors a = {map.data(), 0, 1, spread};
                    product(z.h, z.v / HALF, 1, taps, a, {v, 0, z.v}, out, z.v, dy > seen.first);
                }
            }
        }
    });
}

// What the backward pass reads and writes, and two rows of the map, a and da = dy Vᵀ, for a row of pixels.
struct Backward {
    Sizes z;
    int spread, across;
    const real *grad, *queries, *values_by_v, *by_k, *by_tap;
    real *grad_q, *grad_v;
    int hk = z.h * z.k, hv = z.h * z.v, reach = z.r_x / 2, taps = z.r_x * z.u;
    long line = spread + 2 * EDGE, pixel = z.h * line;
    // What lies outside of the picture is never written, and stays zero.
    std::vector<real> map = std::vector<real>(z.width * pixel), d_map = map;

    // The rows of the map, and dq_n = Σ_m da_nm E_{m−n}.
    void map_row(long row, int dy, bool add) {
        const real *e = by_k + (long)dy * z.k * spread, *e_by_tap = by_tap + (long)dy * taps * z.k;
        const real* context = values_by_v + (row + dy - z.r_y / 2) * z.v * across;
        for (int x = 0; x < z.width; x++) {
            Range dx = inside(x, z.width, z.r_x);
            int begin = dx.first * z.u, some = dx.last * z.u - begin, count = in_halves(some);
            long n = row * z.width + x, at = x * pixel + EDGE + begin;
            Factors q = {queries + n * hk, 0, 1, z.k}, d_y = {grad + n * hv, 0, 1, z.v}, da = {&d_map[at], 0, 1, line};
            Factors v = {context + (x + dx.first - reach) * z.u, 0, across};
            product(z.h, count, 1, z.k, q, {e + begin, 0, spread}, &map[at], line, false);
            product(z.h, count, 1, z.v, d_y, v, &d_map[at], line, false);
            product(z.h, z.k / HALF, 1, some, da, {e_by_tap + begin * z.k, 0, z.k}, grad_q + n * hk, z.k, add);
        }
    }

    // dE_t += Σ_n da_nt q_n, over the pixels that have the taps t in the picture.
    void add_embedding(long row, int dy, real* grad_e) {
        for (int t = 0; t < taps; t += TAPS) {
            int some = std::min(TAPS, taps - t);
            int first = std::max(0, reach - (t + some - 1) / z.u), last = std::min(z.width, z.width + reach - t / z.u);
            int sums = std::max(0, last - first) * z.h;
            Factors da = {d_map.data() + first * pixel + EDGE + t, 0, line, 1};
            Factors q = {queries + (row * z.width + first) * hk, 0, z.k};
            real* out = grad_e + ((long)dy * taps + t) * z.k;
            if (some == TAPS) lines<TAPS>(z.k / HALF, 1, sums, da, q, out, z.k, true);
            else product(some, z.k / HALF, 1, sums, da, q, out, z.k, true);
        }
    }

    // dV_m += Σ_n a_nm dy_n, over the pixels that see the columns m.
    void add_values(long row, int dy) {
        int columns = z.width * z.u;
        for (int m = 0; m < columns; m += 4) {
            int some = std::min(4, columns - m);
            int first = std::max(0, m / z.u - reach), last = std::min(z.width, (m + some - 1) / z.u + reach + 1);
            Factors a = {map.data() + first * pixel + EDGE + m + (reach - first) * z.u, pixel - z.u, line, 1};
            Factors d_y = {grad + (row * z.width + first) * hv, hv, z.v};
            real* out = grad_v + ((row + dy - z.r_y / 2) * columns + m) * z.v;
            product(some, z.v / HALF, last - first, z.h, a, d_y, out, z.v, true);
        }
    }
};

// The same, and values_by_v (b, H, v, across), by_tap: E as (r_y, r_x, u, k); grad_q like the queries; grad_v like the
// values and grad_e (threads, r_y, r_x, u, k), which begin as zeros.
extern "C" void backward(Sizes z, int threads, int spread, int across, const real* grad, const real* queries,
                         const real* values_by_v, const real* by_k, const real* by_tap, real* grad_q, real* grad_v,
                         real* grad_e) {
    share(threads, z.pictures, [=](int thread, int first, int last) {
        Backward pass = {z, spread, across, grad, queries, values_by_v, by_k, by_tap, grad_q, grad_v};
        for (long row = (long)first * z.height; row < (long)last * z.height; row++) {
            Range seen = inside(row % z.height, z.height, z.r_y);
            for (int dy = seen.first; dy < seen.last; dy++) {
                pass.map_row(row, dy, dy > seen.first);
                pass.add_embedding(row, dy, grad_e + (long)thread * z.r_y * z.r_x * z.u * z.k);
                pass.add_values(row, dy);
            }
        }
    });
}
