// One optimizer step over many tensors in one pass (see _reference.py for symbols).
//
// PARAM is the type of parameters and gradients, REAL of averages, dense directions and of the
// arithmetic. Which loop runs is looked up when the numbers come, so one library serves every rule.
// It includes no header of torch, which would take longer to compile than the rest.

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

// NUMBERS and COLUMNS are lists of names, given by _native.py: in the order of the tables of
// optuna_evo.rules.
enum Number { NUMBERS, COUNT };
enum Column { COLUMNS };

// What a term needs beside the gradient. There is one loop for each set of the first five: a rule
// pays for no average, division or comparison that it has not. A loop for each set of *terms* would
// be a little shorter, but their number doubles with every term.
enum Need : unsigned { NOTHING = 0, M = 1, V = 2, ABS = 4, SIGN = 8, MORE = 16, ALL = 31 };
enum OtherNeed : unsigned { S = 32, DENSE = 64 };

// The terms of most rules. One line a term: its name in lower case, its needs, the sum that it
// enters (`step`, or one that is divided by sqrt(v) + eps or abs(g) + eps) and what it is there.
#define TERMS(X)                                                     \
    X(grad, NOTHING, step, g)                                        \
    X(momentum, M, step, m)                                          \
    X(sign_grad, SIGN, step, sign(g))                                \
    X(rms_norm, V, over_rms, g)                                      \
    X(adam_term, M | V, over_rms, m)                                 \
    X(sqrt_grad, ABS, over_abs, g)                                   \
    X(momentum_over_abs, M | ABS, over_abs, m)

// The others. Each has a small loop of its own that adds to `more`, a block at a time, so that
// neither old rules nor the time to compile feel how many there are. One line a term: its name, its
// needs and what it is.
#define MORE_TERMS(X)                                                \
    X(sign_momentum, M, sign(m))                                     \
    X(lion, S, sign(s + k[m_share] * (g - s)))                       \
    X(agreement, M, sign(g) == sign(m) ? m : REAL(0))                \
    X(dense, DENSE, d)

constexpr int64_t BLOCK = 1024;  // elements: all that a block touches stays in the first cache

// A piece of a tensor, with all that belongs to it; null where there is none.
struct Piece {
    PARAM* p;
    const PARAM* g;
    REAL *m, *v, *s;
    const REAL* d;
    int64_t size;
};

template <class T>
T* shifted(T* start, int64_t by) {
    return start ? start + by : nullptr;
}

Piece part(const Piece& a, int64_t begin, int64_t end) {
    return {a.p + begin, a.g + begin, shifted(a.m, begin), shifted(a.v, begin),
            shifted(a.s, begin), shifted(a.d, begin), end - begin};
}

inline REAL sign(REAL x) {
    return (x > 0 ? REAL(1) : REAL(0)) - (x < 0 ? REAL(1) : REAL(0));
}

inline REAL clipped(REAL g, REAL bound) {
    g = g > bound ? bound : g;  // NaN stays NaN
    return g < -bound ? -bound : g;
}

template <unsigned NEEDS>
void update(const Piece& a, const REAL* numbers, const REAL* __restrict more) {
    constexpr auto needs = [](unsigned some) { return (NEEDS & some) == some; };
    PARAM* __restrict p_at = a.p;
    const PARAM* __restrict g_at = a.g;
    REAL* __restrict m_at = a.m;
    REAL* __restrict v_at = a.v;
    REAL k[COUNT];  // a copy that no store can change: else the loop is not vectorised
    std::copy(numbers, numbers + COUNT, k);
    const int64_t size = a.size;
    for (int64_t i = 0; i < size; ++i) {
        const REAL g = clipped(g_at[i], k[clip]);
        REAL m = 0, v = 0, step = 0, over_rms = 0, over_abs = 0;
        if constexpr (needs(M)) {
            m = m_at[i];
            m_at[i] = m += k[m_share] * (g - m);
        }
        if constexpr (needs(V)) v_at[i] = v = k[v_decay] * v_at[i] + k[v_share] * g * g;
// A direction that a rule does not read cannot turn an infinite gradient into NaN.
#define ADD(name, some, sum, direction) \
    if constexpr (needs(some)) sum += k[name] * (k[name] != 0 ? (direction) : REAL(0));
        TERMS(ADD)
#undef ADD
        if constexpr (needs(MORE)) step += more[i];
        if constexpr (needs(V)) step += over_rms / (k[rms_scale] * std::sqrt(v) + k[eps]);
        if constexpr (needs(ABS)) step += over_abs / (std::fabs(g) + k[eps]);
        p_at[i] = k[decay] * static_cast<REAL>(p_at[i]) - step;
    }
}

// Adds to `more` what a term gives; averages are seen as the step sees them, and left alone.
template <unsigned NEEDS, class Direction>
void add(const Piece& a, const REAL* k, REAL* __restrict more, REAL step, Direction direction) {
    for (int64_t i = 0; i < a.size; ++i) {
        const REAL g = clipped(a.g[i], k[clip]);
        REAL m = 0, s = 0, d = 0;
        if constexpr (NEEDS & M) m = a.m[i] + k[m_share] * (g - a.m[i]);
        if constexpr (NEEDS & S) s = a.s[i];
        if constexpr (NEEDS & DENSE) d = a.d[i];
        more[i] += step * direction(g, m, s, d);
    }
}

void add_more(const Piece& a, const REAL* k, REAL* more) {
    std::fill(more, more + a.size, REAL(0));
#define ADD(name, some, direction)                                                    \
    if (k[name] != 0)                                                                 \
        add<some>(a, k, more, k[name], [k]([[maybe_unused]] REAL g, [[maybe_unused]] REAL m,   \
                                           [[maybe_unused]] REAL s, [[maybe_unused]] REAL d) { \
            return direction;                                                         \
        });
    MORE_TERMS(ADD)
#undef ADD
}

void update_slow(const Piece& a, const REAL* k) {
    REAL* __restrict s_at = a.s;
    for (int64_t i = 0; i < a.size; ++i)
        s_at[i] += k[v_share] * (clipped(a.g[i], k[clip]) - s_at[i]);
}

using Update = void (*)(const Piece&, const REAL*, const REAL*);

template <unsigned... NEEDS>
Update update_for(unsigned needs, std::integer_sequence<unsigned, NEEDS...>) {
    static constexpr Update table[] = {update<NEEDS>...};
    return table[needs];
}

unsigned needs_of(const Piece& a, const double* k) {
    unsigned needs = NOTHING;
#define ADD(name, some, ...) \
    if (k[name] != 0) needs |= (some);
    TERMS(ADD)
#undef ADD
#define ADD(name, some, direction) \
    if (k[name] != 0) needs |= MORE | (some);
    MORE_TERMS(ADD)
#undef ADD
    // An average that is there is kept up to date though no term reads it: a rule may observe it.
    if (a.m && k[m_share] != 0) needs |= M;
    if (a.v && (k[v_decay] != 1 || k[v_share] != 0)) needs |= V;
    if (a.s && k[v_share] != 0) needs |= S;
    return needs;
}

// Does the step on a piece; false where it would read what is not there.
bool step(const Piece& a, const double* numbers) {
    const unsigned needs = needs_of(a, numbers);
    const bool lacks_average = (needs & M && !a.m) || (needs & V && !a.v) || (needs & S && !a.s);
    if (lacks_average || (needs & DENSE && !a.d)) return false;
    REAL k[COUNT], more[BLOCK];
    std::copy(numbers, numbers + COUNT, k);
    const Update update = update_for(needs & ALL, std::make_integer_sequence<unsigned, ALL + 1>{});
    const int64_t width = needs & (MORE | S) ? BLOCK : a.size;
    for (int64_t begin = 0; begin < a.size; begin += width) {
        const Piece block = part(a, begin, std::min(a.size, begin + width));
        if (needs & MORE) add_more(block, k, more);
        update(block, k, more);
        if (needs & S) update_slow(block, k);
    }
    return true;
}

// Where a tensor is cut if a thread's share ends at `position`: between vectors, so that results do
// not depend on the number of threads.
int64_t cut(int64_t position, int64_t size) {
    return position >= size ? size : std::max<int64_t>(0, position & ~int64_t{15});
}

}  // namespace

// `table` has the columns COLUMNS of `count`: addresses of tensors (0 where no rule reads them),
// numbers of elements. Tensor t has the numbers at numbers + t * stride: a stride of 0 is one rule
// for all. Returns 0, or 1 if a rule reads what is not there: such a tensor is left alone.
extern "C" int optuna_evo_step(
    int64_t count, const int64_t* table, const double* numbers, int64_t stride, int threads) {
    const int64_t* lengths = table + sizes * count;
    int64_t total = 0;
    int lacking = 0;
    for (int64_t t = 0; t < count; ++t) total += lengths[t];
    // A thread is woken for no less than 64 kB of parameters.
    const int64_t shares = std::max<int64_t>(1, std::min<int64_t>(threads, total >> 14));
#pragma omp parallel for num_threads(static_cast<int>(shares)) if (shares > 1) schedule(static, 1) \
    reduction(| : lacking)
    for (int64_t share = 0; share < shares; ++share) {
        const int64_t first = total * share / shares, last = total * (share + 1) / shares;
        for (int64_t t = 0, before = 0; t < count && before < last; before += lengths[t++]) {
            const int64_t begin = cut(first - before, lengths[t]);
            const int64_t end = cut(last - before, lengths[t]);
            if (begin == end) continue;
            const auto address = [=](Column column) { return table[column * count + t]; };
            const Piece whole{
                reinterpret_cast<PARAM*>(address(params)),
                reinterpret_cast<const PARAM*>(address(grads)),
                reinterpret_cast<REAL*>(address(exp_avg)),
                reinterpret_cast<REAL*>(address(exp_avg_sq)),
                reinterpret_cast<REAL*>(address(exp_avg_slow)),
                reinterpret_cast<const REAL*>(address(directions)),
                lengths[t]};
            lacking |= !step(part(whole, begin, end), numbers + t * stride);
        }
    }
    return lacking;
}

// The numbers that are terms here, as bits: what is not among them must be done elsewhere.
extern "C" int64_t optuna_evo_terms() {
    int64_t terms = 0;
#define ADD(name, ...) terms |= int64_t{1} << name;
    TERMS(ADD)
    MORE_TERMS(ADD)
#undef ADD
    return terms;
}
