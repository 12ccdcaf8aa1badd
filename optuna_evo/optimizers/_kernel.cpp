// One optimizer step over many tensors in one pass (see _update.py for symbols and equations).
//
// PARAM is the type of parameters and gradients, REAL of averages and of the arithmetic. There is
// one loop for each set of directions that a rule can have: which one runs is looked up when the
// numbers come, so one library serves every rule, and a direction that a rule does not read costs
// nothing and cannot turn an infinite gradient into NaN. It includes no header of torch, which
// would take longer to compile than the rest.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

namespace {

// The upper half of a float32; rounds to nearest, ties to even.
struct bfloat16 {
    uint16_t bits;

    bfloat16() = default;
    bfloat16(float x) {
        uint32_t word;
        std::memcpy(&word, &x, sizeof word);
        const uint32_t rounded = (word + 0x7fff + ((word >> 16) & 1)) >> 16;
        bits = x != x ? 0x7fc0 : static_cast<uint16_t>(rounded);
    }
    operator float() const {
        const uint32_t word = static_cast<uint32_t>(bits) << 16;
        float x;
        std::memcpy(&x, &word, sizeof x);
        return x;
    }
};

// In the order of NUMBERS in _update.py.
enum Number {
    GRAD, MOMENTUM, GRAD_OVER_RMS, MOMENTUM_OVER_RMS, SIGN, GRAD_OVER_ABS, MOMENTUM_OVER_ABS,
    DECAY, M_SHARE, V_DECAY, V_SHARE, RMS_SCALE, EPS, CLIP, COUNT
};
constexpr unsigned DIRECTIONS = 7;

constexpr bool any(unsigned set, Number a, Number b, Number c) {
    return (set >> a | set >> b | set >> c) & 1;
}
constexpr bool reads_m(unsigned set) {
    return any(set, MOMENTUM, MOMENTUM_OVER_RMS, MOMENTUM_OVER_ABS);
}
constexpr bool reads_v(unsigned set) {
    return any(set, GRAD_OVER_RMS, GRAD_OVER_RMS, MOMENTUM_OVER_RMS);
}

template <unsigned SET>
void update(
    PARAM* __restrict p, const PARAM* __restrict grad, REAL* __restrict exp_avg,
    REAL* __restrict exp_avg_sq, int64_t size, const double* numbers) {
    constexpr bool over_abs = any(SET, GRAD_OVER_ABS, GRAD_OVER_ABS, MOMENTUM_OVER_ABS);
    REAL k[COUNT];
    std::copy(numbers, numbers + COUNT, k);
    for (int64_t i = 0; i < size; ++i) {
        REAL g = grad[i];
        g = g > k[CLIP] ? k[CLIP] : g;  // NaN stays NaN
        g = g < -k[CLIP] ? -k[CLIP] : g;
        REAL m = 0, step = 0;
        if (reads_m(SET)) {
            m = exp_avg[i];
            exp_avg[i] = m += k[M_SHARE] * (g - m);
        }
        if (SET >> GRAD & 1) step += k[GRAD] * g;
        if (SET >> MOMENTUM & 1) step += k[MOMENTUM] * m;
        if (SET >> SIGN & 1) step += (g > 0 ? k[SIGN] : 0) - (g < 0 ? k[SIGN] : 0);
        if (reads_v(SET)) {
            const REAL v = k[V_DECAY] * exp_avg_sq[i] + k[V_SHARE] * g * g;
            exp_avg_sq[i] = v;
            REAL sum = 0;
            if (SET >> GRAD_OVER_RMS & 1) sum += k[GRAD_OVER_RMS] * g;
            if (SET >> MOMENTUM_OVER_RMS & 1) sum += k[MOMENTUM_OVER_RMS] * m;
            step += sum / (k[RMS_SCALE] * std::sqrt(v) + k[EPS]);
        }
        if (over_abs) {
            REAL sum = 0;
            if (SET >> GRAD_OVER_ABS & 1) sum += k[GRAD_OVER_ABS] * g;
            if (SET >> MOMENTUM_OVER_ABS & 1) sum += k[MOMENTUM_OVER_ABS] * m;
            step += sum / (std::fabs(g) + k[EPS]);
        }
        p[i] = k[DECAY] * static_cast<REAL>(p[i]) - step;
    }
}

using Update = void (*)(PARAM*, const PARAM*, REAL*, REAL*, int64_t, const double*);

template <unsigned... SETS>
Update update_for(unsigned set, std::integer_sequence<unsigned, SETS...>) {
    static constexpr Update table[] = {update<SETS>...};
    return table[set];
}

unsigned directions_of(const double* numbers) {
    unsigned set = 0;
    for (unsigned d = 0; d < DIRECTIONS; ++d) set |= static_cast<unsigned>(numbers[d] != 0) << d;
    return set;
}

// Where a tensor is cut if a thread's share ends at `position`: between vectors, so that results do
// not depend on the number of threads.
int64_t cut(int64_t position, int64_t size) {
    return position >= size ? size : std::max<int64_t>(0, position & ~int64_t{15});
}

}  // namespace

// `table` has five columns of `count`: addresses of parameters, gradients, exp_avg (0 where no rule
// reads it) and exp_avg_sq (likewise), numbers of elements. Tensor t has the numbers at
// numbers + t * stride: a stride of 0 is one rule for all.
extern "C" void optuna_evo_step(
    int64_t count, const int64_t* table, const double* numbers, int64_t stride, int threads) {
    const int64_t* sizes = table + 4 * count;
    const auto address = [=](int64_t column, int64_t t) { return table[column * count + t]; };
    int64_t total = 0;
    for (int64_t t = 0; t < count; ++t) total += sizes[t];
    // A thread is woken for no less than 64 kB of parameters.
    const int64_t shares = std::max<int64_t>(1, std::min<int64_t>(threads, total >> 14));
#pragma omp parallel for num_threads(static_cast<int>(shares)) if (shares > 1) schedule(static, 1)
    for (int64_t share = 0; share < shares; ++share) {
        const int64_t first = total * share / shares, last = total * (share + 1) / shares;
        for (int64_t t = 0, before = 0; t < count && before < last; before += sizes[t++]) {
            const int64_t begin = cut(first - before, sizes[t]);
            const int64_t end = cut(last - before, sizes[t]);
            if (begin == end) continue;
            const double* k = numbers + t * stride;
            update_for(directions_of(k), std::make_integer_sequence<unsigned, 1u << DIRECTIONS>{})(
                reinterpret_cast<PARAM*>(address(0, t)) + begin,
                reinterpret_cast<const PARAM*>(address(1, t)) + begin,
                reinterpret_cast<REAL*>(address(2, t)) + begin,
                reinterpret_cast<REAL*>(address(3, t)) + begin, end - begin, k);
        }
    }
}
