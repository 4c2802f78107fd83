// The permutohedral lattice of the features (x, y) / position_sigma and colour / color_sigma; see common/lattice.h.
//
// Features are embedded in the plane sum x = 0 of K = F + 1 dimensions, where the lattice consists of the integer points
// whose coordinates are equal modulo K. A pixel lies in one simplex of the lattice, and its weights are barycentric.
// All in double, each product rounded by itself, so that every instruction-set level and the reference implementation find
// the same lattice.
//
// The simplices are found by all threads, a vector of pixels at a time, their points by one: rows are numbered in the order of the
// pixels.
#include <cmath>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/lattice_passes.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

constexpr int kMostFeatures = 15;

typedef Vector<double> Doubles;
constexpr int kLanes = Simd<double>::lanes;

// kF: the number of features where it is known, else 0.
template <int kF>
struct Plane {
  static constexpr int kMostF = kF ? kF : kMostFeatures;
  const int F, K;
  double scale[kMostF];

  // Gaussians of variance 1 in the features: a blur along all axes and the interpolation have the variance 2 K^2 / 3.
  explicit Plane(int features) : F(kF ? kF : features), K(F + 1) {
    for (int j = 0; j < F; ++j) scale[j] = K * std::sqrt(2.0 / 3.0) / std::sqrt(double(j + 1) * (j + 2));
  }

  // The simplex around each point of a vector: its corner of remainder 0, the rank of each coordinate's residual from the
  // largest on, and the weights of the corners of remainders 0 to F. Whatever the features are, NaN included, ranks are a
  // permutation.
  CFW_INLINE void find(const Doubles* feature, Doubles* corner, Doubles* rank, Doubles* weight) const {
    const int F = kF ? kF : this->F, K = F + 1;
    const double shifter = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer, halves to even
    const Doubles zero = {}, one = zero + 1.0;
    Doubles x[kMostF + 1], rest[kMostF + 1], sorted[kMostF + 1], sum = zero, excess = zero;
    for (int i = F; i > 0; --i) {
      Doubles own = feature[i - 1] * scale[i - 1], part = own * double(i);
      CFW_PIN(own);
      CFW_PIN(part);
      x[i] = sum - part;
      sum += own;
    }
    x[0] = sum;
    for (int i = 0; i < K; ++i) {
      const Doubles quotient = x[i] / double(K);
      const Doubles safe = quotient < 1e8 ? (quotient > -1e8 ? quotient : zero) : zero;
      const Doubles multiple = (safe + shifter) - shifter;
      corner[i] = multiple * double(K);
      rest[i] = x[i] - corner[i];
      excess += multiple;
      rank[i] = zero;
      sorted[i] = zero;
    }
    excess = excess > double(F) ? zero + F : excess;
    excess = excess < double(-F) ? zero - F : excess;
    for (int i = 0; i < K; ++i)
      for (int j = i + 1; j < K; ++j) {
        const Doubles less = rest[i] < rest[j] ? one : zero;
        rank[i] += less;
        rank[j] += one - less;
      }
    for (int i = 0; i < K; ++i) {
      const Doubles moved = rank[i] + excess;
      const Doubles turn = moved < 0.0 ? zero + K : moved >= double(K) ? zero - K : zero;
      rank[i] = moved + turn;
      corner[i] += turn;
      rest[i] = x[i] - corner[i];
    }
    for (int r = 0; r < K; ++r)
      for (int i = 0; i < K; ++i) sorted[r] = rank[i] == double(r) ? rest[i] : sorted[r];
    weight[0] = 1 - (sorted[0] - sorted[F]) / double(K);
    for (int k = 1; k < K; ++k) weight[k] = (sorted[F - k] - sorted[F + 1 - k]) / double(K);
  }
};

// From keys, F coordinates, to rows, with open addressing.
template <int kF>
class Rows {
 public:
  explicit Rows(int features) : F(kF ? kF : features), table(1 << 14, Slot{0, 0}), keys(F) {}

  int32_t size() const { return count; }
  const int32_t* key(int64_t row) const { return &keys[row * (kF ? kF : F)]; }

  // 0 if there is none.
  int32_t find(const int32_t* key) const { return table[place(key, hash(key))].row; }

  int32_t find_or_add(const int32_t* key) {
    const uint64_t h = hash(key);
    size_t at = place(key, h);
    if (table[at].row) return table[at].row;
    if (size_t(count) * 2 > table.size()) {
      grow();
      at = place(key, h);
    }
    keys.insert(keys.end(), key, key + F);
    table[at] = {count, uint32_t(h)};
    return count++;
  }

 private:
  struct Slot {
    int32_t row;
    uint32_t tag;  // the low bits of the hash
  };

  CFW_INLINE uint64_t hash(const int32_t* key) const {
    constexpr uint64_t odd = 0x9e3779b97f4a7c15u;
    uint64_t h = 0, factor = odd;
    for (int i = 0; i < (kF ? kF : F); ++i, factor *= odd) h += uint32_t(key[i]) * factor;
    return h ^ h >> 32;
  }

  // Where the key is, or where it would go.
  CFW_INLINE size_t place(const int32_t* key, uint64_t h) const {
    const size_t mask = table.size() - 1;
    for (size_t at = size_t(h >> 20) & mask;; at = (at + 1) & mask) {
      const Slot& slot = table[at];
      if (!slot.row) return at;
      if (slot.tag == uint32_t(h) && same(key, this->key(slot.row))) return at;
    }
  }

  CFW_INLINE bool same(const int32_t* a, const int32_t* b) const {
    bool equal = true;
    for (int i = 0; i < (kF ? kF : F); ++i) equal &= a[i] == b[i];
    return equal;
  }

  void grow() {
    table.assign(table.size() * 4, Slot{0, 0});
    for (int32_t row = 1; row < count; ++row) {
      const uint64_t h = hash(key(row));
      table[place(key(row), h)] = {row, uint32_t(h)};
    }
  }

  const int F;
  int32_t count = 1;  // row 0 is no point
  std::vector<Slot> table;
  std::vector<int32_t> keys;
};

// Of one image.
template <int kF, class T>
void build(const T* image, double position_sigma, double color_sigma, int32_t* indices, T* weights, int32_t* neighbours,
           int32_t* count, int channels, int H, int W, int threads) {
  const int D = kF ? kF - 2 : channels, F = D + 2, K = F + 1;
  const Plane<kF> plane(F);
  const int64_t P = int64_t(H) * W, R = P * K + 1;
  std::vector<int32_t> corners(P * K);
  std::vector<int8_t> ranks(P * K);
  for_each_chunk(P, threads, [&](int64_t begin, int64_t end) {
    constexpr int kMostF = Plane<kF>::kMostF;
    Doubles feature[kMostF], weight[kMostF + 1], corner[kMostF + 1], rank[kMostF + 1];
    for (int64_t first = begin; first < end; first += kLanes) {
      const int size = int(std::min<int64_t>(kLanes, end - first));
      for (int j = 0; j < F; ++j) feature[j] = Doubles{};
      for (int i = 0; i < size; ++i) {
        feature[0][i] = double((first + i) % W), feature[1][i] = double((first + i) / W);
        for (int c = 0; c < D; ++c) feature[2 + c][i] = double(image[c * P + first + i]);
      }
      for (int j = 0; j < F; ++j) feature[j] /= j < 2 ? position_sigma : color_sigma;
      plane.find(feature, corner, rank, weight);
      for (int k = 0; k < K; ++k)
        for (int i = 0; i < size; ++i) {
          corners[(first + i) * K + k] = int32_t(corner[k][i]);
          ranks[(first + i) * K + k] = int8_t(rank[k][i]);
          weights[(first + i) * K + k] = T(weight[k][i]);
        }
    }
  });

  Rows<kF> rows(F);
  for (int64_t p = 0; p < P; ++p) {
    const int32_t* corner = &corners[p * K];
    const int8_t* rank = &ranks[p * K];
    int32_t* row = indices + p * K;
    if (p > 0 && std::equal(corner, corner + K, corner - K) && std::equal(rank, rank + K, rank - K)) {
      std::copy(row - K, row, row);  // the simplex of the pixel before
      continue;
    }
    for (int k = 0; k < K; ++k) {
      int32_t key[kMostFeatures];
      for (int i = 0; i < F; ++i) key[i] = corner[i] + k - (rank[i] > F - k ? K : 0);
      row[k] = rows.find_or_add(key);
    }
  }

  // The row before along an axis has this row behind it: one search for both.
  const int64_t size = rows.size();
  *count = rows.size();
  for (int axis = 0; axis < K; ++axis) std::fill_n(neighbours + axis * R * 2, size * 2, 0);
  for_each_chunk(size, threads, [&](int64_t begin, int64_t end) {
    int32_t key[kMostFeatures];
    for (int64_t m = std::max<int64_t>(begin, 1); m < end; ++m)
      for (int axis = 0; axis < K; ++axis) {
        for (int i = 0; i < F; ++i) key[i] = rows.key(m)[i] + (i == axis ? -F : 1);
        int32_t* to = neighbours + axis * R * 2;
        const int32_t found = rows.find(key);
        to[2 * m] = found;
        if (found) to[2 * int64_t(found) + 1] = int32_t(m);
      }
  });
}

}  // namespace

template <class T>
void lattice_build(const T* image, double position_sigma, double color_sigma, int32_t* indices, T* weights,
                   int32_t* neighbours, int32_t* counts, int64_t N, int D, int H, int W, int threads) {
  const int64_t P = int64_t(H) * W, K = D + 3;
  for_each_image(N, N >= 2 * threads ? threads : 1, threads, [&](int64_t n, int64_t, int inner) {
    auto run = D == 3 ? build<5, T> : D == 1 ? build<3, T> : D == 0 ? build<2, T> : build<0, T>;
    run(image + n * D * P, position_sigma, color_sigma, indices + n * P * K, weights + n * P * K,
        neighbours + n * K * (P * K + 1) * 2, counts + n, D, H, W, inner);
  });
}

CFW_INSTANTIATE(lattice_build)

}  // namespace CFW_LEVEL
}  // namespace cfw
