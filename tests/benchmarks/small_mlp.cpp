// Trains one small ReLU MLP, or a linear model, with one genome: see small_mlp.py.
//
// Rows of a layer's weights are its inputs, so that the innermost loops run over outputs in memory.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace {

template <int O>
void forward(const float* x, int rows, int n_in, const float* w, bool relu, float* y) {
  const float* bias = w + n_in * O;
  for (int r = 0; r < rows; r++) {
    float sum[O];
    for (int o = 0; o < O; o++) sum[o] = bias[o];
    for (int i = 0; i < n_in; i++)
      for (int o = 0; o < O; o++) sum[o] += x[r * n_in + i] * w[i * O + o];
    // a NaN stays one
    for (int o = 0; o < O; o++) y[r * O + o] = relu && sum[o] <= 0 ? 0.0f : sum[o];
  }
}

template <int O>
void weight_gradient(const float* x, const float* dy, int rows, int n_in, float* dw) {
  for (int i = 0; i <= n_in; i++) {  // the last row is the bias
    float sum[O] = {0};
    for (int r = 0; r < rows; r++) {
      float value = i < n_in ? x[r * n_in + i] : 1.0f;
      for (int o = 0; o < O; o++) sum[o] += value * dy[r * O + o];
    }
    for (int o = 0; o < O; o++) dw[i * O + o] = sum[o];
  }
}

template <int I>
void input_gradient(const float* dy, const float* w, int rows, int n_out, const float* x, float* dx) {
  std::vector<float> turned(n_out * I);
  for (int i = 0; i < I; i++)
    for (int o = 0; o < n_out; o++) turned[o * I + i] = w[i * n_out + o];
  for (int r = 0; r < rows; r++) {
    float sum[I] = {0};
    for (int o = 0; o < n_out; o++)
      for (int i = 0; i < I; i++) sum[i] += dy[r * n_out + o] * turned[o * I + i];
    for (int i = 0; i < I; i++) dx[r * I + i] = x[r * I + i] > 0 ? sum[i] : 0.0f;
  }
}

#define FOR_WIDTH(n, call)        \
  switch (n) {                    \
    case 64: call(64); break;     \
    case 32: call(32); break;     \
    case 10: call(10); break;     \
    case 2: call(2); break;       \
    case 1: call(1); break;       \
  }

}  // namespace

extern "C" {

struct Problem {
  int n_layers;
  const int* sizes;  // n_layers + 1
  const float* weights;
  int n_weights;
  const float* inputs;
  const float* targets;  // values, or classes
  const int* order;      // rows of all steps
  int batch, steps;
  const float* valid_inputs;
  const float* valid_targets;
  int n_valid, is_regression;
};

struct Rule {
  double directions[6];  // g, m, g/v, m/v, sign, g/|g|
  double lr, weight_decay, beta1, beta2, eps, clip;
  int use_m, use_v, bias_correction, warmup, cosine;
};

// Returns the metric on the validation rows, NaN where an output is not finite.
float train(const Problem* p, const Rule* rule, float* losses) {
  const int depth = p->n_layers, *sizes = p->sizes, n_out = sizes[depth];
  std::vector<float> w(p->weights, p->weights + p->n_weights);
  std::vector<float> g(p->n_weights), m(p->n_weights, 0.0f), v(p->n_weights, 0.0f);
  std::vector<std::vector<float>> y(depth + 1), dy(depth + 1);
  std::vector<size_t> start(depth + 1, 0);
  for (int l = 0; l <= depth; l++) {
    y[l].resize((size_t)std::max(p->batch, p->n_valid) * sizes[l]);
    dy[l].resize((size_t)p->batch * sizes[l]);
    if (l < depth) start[l + 1] = start[l] + (size_t)(sizes[l] + 1) * sizes[l + 1];
  }
  auto predict = [&](int rows) {
    for (int l = 0; l < depth; l++) {
#define CALL(n) forward<n>(y[l].data(), rows, sizes[l], &w[start[l]], l < depth - 1, y[l + 1].data())
      FOR_WIDTH(sizes[l + 1], CALL)
#undef CALL
    }
  };
  for (int step = 0; step < p->steps; step++) {
    const int* rows = p->order + step * p->batch;
    for (int r = 0; r < p->batch; r++)
      std::memcpy(&y[0][r * sizes[0]], p->inputs + (size_t)rows[r] * sizes[0], 4 * sizes[0]);
    predict(p->batch);
    double loss = 0;
    for (int r = 0; r < p->batch; r++) {
      const float* out = &y[depth][r * n_out];
      float *d = &dy[depth][r * n_out], target = p->targets[rows[r]];
      if (p->is_regression) {
        loss += (double)(out[0] - target) * (out[0] - target);
        d[0] = 2 * (out[0] - target) / p->batch;
        continue;
      }
      float top = *std::max_element(out, out + n_out), sum = 0;
      for (int c = 0; c < n_out; c++) sum += d[c] = std::exp(out[c] - top);
      loss += std::log(sum) + top - out[(int)target];
      for (int c = 0; c < n_out; c++) d[c] = (d[c] / sum - (c == (int)target)) / p->batch;
    }
    losses[step] = loss / p->batch;
    for (int l = depth - 1; l >= 0; l--) {
#define CALL(n) weight_gradient<n>(y[l].data(), dy[l + 1].data(), p->batch, sizes[l], &g[start[l]])
      FOR_WIDTH(sizes[l + 1], CALL)
#undef CALL
      if (l == 0) break;
#define CALL(n) \
  input_gradient<n>(dy[l + 1].data(), &w[start[l]], p->batch, sizes[l + 1], y[l].data(), dy[l].data())
      FOR_WIDTH(sizes[l], CALL)
#undef CALL
    }
    double lr = rule->lr;
    if (rule->warmup) lr *= std::min(1.0, (step + 1.0) / rule->warmup);
    if (rule->cosine) lr *= 0.5 * (1 + std::cos(M_PI * step / p->steps));
    const bool corrects = rule->bias_correction;
    const float m_scale = corrects ? 1 / (1 - std::pow(rule->beta1, step + 1)) : 1;
    const float v_scale = corrects ? 1 / std::sqrt(1 - std::pow(rule->beta2, step + 1)) : 1;
    const float m_share = 1 - rule->beta1, v_share = 1 - rule->beta2, v_decay = rule->beta2;
    const float rate = lr, keep = 1 - lr * rule->weight_decay, eps = rule->eps, clip = rule->clip;
    float c[6];
    for (int k = 0; k < 6; k++) c[k] = rule->directions[k];
    for (int k = 0; k < p->n_weights; k++) {
      const float e = std::min(std::max(g[k], -clip), clip);
      m[k] += m_share * (e - m[k]);
      v[k] = v_decay * v[k] + v_share * e * e;
      const float mean = rule->use_m ? m[k] * m_scale : e;
      const float size = std::fabs(e), rms = rule->use_v ? std::sqrt(v[k]) * v_scale : size;
      const float sign = (e > 0) - (e < 0);
      const float update = c[0] * e + c[1] * mean + (c[2] * e + c[3] * mean) / (rms + eps) +
                           c[4] * sign + c[5] * e / (size + eps);
      w[k] = w[k] * keep - rate * update;
    }
  }
  std::memcpy(y[0].data(), p->valid_inputs, (size_t)p->n_valid * sizes[0] * sizeof(float));
  predict(p->n_valid);
  double total = 0;
  for (int r = 0; r < p->n_valid; r++) {
    const float *out = &y[depth][r * n_out], target = p->valid_targets[r];
    for (int k = 0; k < n_out; k++)
      if (!std::isfinite(out[k])) return NAN;
    total += p->is_regression ? (out[0] - target) * (out[0] - target)
                              : std::max_element(out, out + n_out) - out == (int)target;
  }
  return p->is_regression ? 1 - total / p->n_valid : total / p->n_valid;
}
}
