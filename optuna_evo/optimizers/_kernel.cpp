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
enum Column { COLUMNS, WIDTH };

// What a term needs beside the gradient. There is one loop for each set of needs, so a rule pays
// for no average, division or comparison that it has not. A loop for each set of *terms* would be
// a little shorter, but their number doubles with every term.
enum Need : unsigned { NOTHING = 0, M = 1, V = 2, ABS = 4, SIGNS = 8, DENSE = 16, S = 32, ALL = 63 };

// One line a term: its name in lower case, its needs, the sum that it enters (`step`, or one that
// is divided by sqrt(v) + eps or abs(g) + eps) and what it is there.
#define TERMS(X)                                                     \
    X(grad, NOTHING, step, g)                                        \
    X(momentum, M, step, m)                                          \
    X(sign_grad, SIGNS, step, sign(g))                               \
    X(sign_momentum, M | SIGNS, step, sign(m))                       \
    X(lion, S | SIGNS, step, sign(s + k[m_share] * (g - s)))         \
    X(agreement, M | SIGNS, step, sign(g) == sign(m) ? m : REAL(0))  \
    X(dense, DENSE, step, d)                                         \
    X(rms_norm, V, over_rms, g)                                      \
    X(adam_term, M | V, over_rms, m)                                 \
    X(sqrt_grad, ABS, over_abs, g)                                   \
    X(momentum_over_abs, M | ABS, over_abs, m)

inline REAL sign(REAL x) {
    return (x > 0 ? REAL(1) : REAL(0)) - (x < 0 ? REAL(1) : REAL(0));
}

template <unsigned NEEDS>
void update(char* const* columns, int64_t begin, int64_t end, const double* numbers) {
    constexpr auto needs = [](unsigned some) { return (NEEDS & some) == some; };
    PARAM* __restrict p_at = reinterpret_cast<PARAM*>(columns[params]);
    const PARAM* __restrict g_at = reinterpret_cast<const PARAM*>(columns[grads]);
    REAL* __restrict m_at = reinterpret_cast<REAL*>(columns[exp_avg]);
    REAL* __restrict v_at = reinterpret_cast<REAL*>(columns[exp_avg_sq]);
    REAL* __restrict s_at = reinterpret_cast<REAL*>(columns[exp_avg_slow]);
    const REAL* __restrict d_at = reinterpret_cast<const REAL*>(columns[directions]);
    REAL k[COUNT];
    std::copy(numbers, numbers + COUNT, k);
    for (int64_t i = begin; i < end; ++i) {
        REAL g = g_at[i];
        g = g > k[clip] ? k[clip] : g;  // NaN stays NaN
        g = g < -k[clip] ? -k[clip] : g;
        REAL m = 0, v = 0, s = 0, d = 0, step = 0, over_rms = 0, over_abs = 0;
        if constexpr (needs(M)) {
            m = m_at[i];
            m_at[i] = m += k[m_share] * (g - m);
        }
        if constexpr (needs(V)) v_at[i] = v = k[v_decay] * v_at[i] + k[v_share] * g * g;
        if constexpr (needs(S)) s = s_at[i];
        if constexpr (needs(DENSE)) d = d_at[i];
// A direction that a rule does not read cannot turn an infinite gradient into NaN.
#define ADD(name, some, sum, direction) \
    if constexpr (needs(some)) sum += k[name] * (k[name] != 0 ? (direction) : REAL(0));
        TERMS(ADD)
#undef ADD
        if constexpr (needs(V)) step += over_rms / (k[rms_scale] * std::sqrt(v) + k[eps]);
        if constexpr (needs(ABS)) step += over_abs / (std::fabs(g) + k[eps]);
        if constexpr (needs(S)) s_at[i] = s + k[v_share] * (g - s);
        p_at[i] = k[decay] * static_cast<REAL>(p_at[i]) - step;
    }
}

using Update = void (*)(char* const*, int64_t, int64_t, const double*);

template <unsigned... NEEDS>
Update update_for(unsigned needs, std::integer_sequence<unsigned, NEEDS...>) {
    static constexpr Update table[] = {update<NEEDS>...};
    return table[needs];
}

unsigned needs_of(char* const* columns, const double* k) {
    unsigned needs = NOTHING;
#define ADD(name, some, sum, direction) \
    if (k[name] != 0) needs |= (some);
    TERMS(ADD)
#undef ADD
    // An average that is there is kept up to date, though no term may read it: a rule may observe it.
    if (columns[exp_avg] && k[m_share] != 0) needs |= M;
    if (columns[exp_avg_sq] && (k[v_decay] != 1 || k[v_share] != 0)) needs |= V;
    if (columns[exp_avg_slow] && k[v_share] != 0) needs |= S;
    return needs;
}

// Whether there is all that a loop would touch.
bool has_columns(unsigned needs, char* const* columns) {
    return !((needs & M && !columns[exp_avg]) || (needs & V && !columns[exp_avg_sq]) ||
             (needs & S && !columns[exp_avg_slow]) || (needs & DENSE && !columns[directions]));
}

// Where a tensor is cut if a thread's share ends at `position`: between vectors, so that results do
// not depend on the number of threads.
int64_t cut(int64_t position, int64_t size) {
    return position >= size ? size : std::max<int64_t>(0, position & ~int64_t{15});
}

}  // namespace

// `table` has the columns COLUMNS of `count`: addresses of tensors (0 where no rule reads them),
// numbers of elements. Tensor t has the numbers at numbers + t * stride: a stride of 0 is one rule
// for all. Returns 0, or 1 if a rule reads what is not there: then nothing is done with that tensor.
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
            char* columns[WIDTH];
            for (int c = 0; c < WIDTH; ++c)
                columns[c] = reinterpret_cast<char*>(table[c * count + t]);
            const double* k = numbers + t * stride;
            const unsigned needs = needs_of(columns, k);
            if (has_columns(needs, columns))
                update_for(needs, std::make_integer_sequence<unsigned, ALL + 1>{})(
                    columns, begin, end, k);
            else
                lacking = 1;
        }
    }
    return lacking;
}

// The numbers that are terms here, as bits: what is not among them must be done elsewhere.
extern "C" int64_t optuna_evo_terms() {
    int64_t terms = 0;
#define ADD(name, some, sum, direction) terms |= int64_t{1} << name;
    TERMS(ADD)
#undef ADD
    return terms;
}
