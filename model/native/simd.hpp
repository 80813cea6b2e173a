// Vectors of the widest kind that the compiler may use: loads, masks and sums across lanes.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

namespace native {

template <class T>
struct Simd {
    typedef T type __attribute__((vector_size(VECTOR_BYTES), may_alias));
    static constexpr int lanes = VECTOR_BYTES / sizeof(T);
};
template <class T>
using Vec = typename Simd<T>::type;

// Registers hold ROWS x 2 sums beside two inputs and a weight (a matrix product), or LEFT x RIGHT sums (an outer one).
#if defined(__AVX__) && !defined(__AVX512F__)
constexpr int ROWS = 6, LEFT = 4, RIGHT = 3;
#else
constexpr int ROWS = 12, LEFT = 6, RIGHT = 4;
#endif

template <class T>
inline Vec<T>& at(T* p, long v) { return reinterpret_cast<Vec<T>*>(p)[v]; }
template <class T>
inline const Vec<T>& at(const T* p, long v) { return reinterpret_cast<const Vec<T>*>(p)[v]; }

// Ask for memory that is needed soon, to read it or to write it.
template <class T>
inline void soon(const T* p, long v) { __builtin_prefetch(reinterpret_cast<const Vec<T>*>(p) + v, 0, 2); }
template <class T>
inline void soon_written(const T* p, long v) { __builtin_prefetch(reinterpret_cast<const Vec<T>*>(p) + v, 1, 2); }

// max(0, x) that keeps a NaN: a network that diverges must be seen to.
template <class T>
inline Vec<T> relu(Vec<T> x) {
    const Vec<T> zero = {};
    return zero > x ? zero : x;
}

template <class T, size_t... I>
inline Vec<T> add_pairs(Vec<T> a, Vec<T> b, std::index_sequence<I...>) {
    return __builtin_shufflevector(a, b, (2 * I)...) + __builtin_shufflevector(a, b, (2 * I + 1)...);
}
template <class T>
inline Vec<T> add_pairs(Vec<T> a, Vec<T> b) {
    return add_pairs<T>(a, b, std::make_index_sequence<Simd<T>::lanes>{});
}

// Sums over the lanes of up to `lanes` vectors, side by side in one: fewer steps than one after the other. Clobbers x.
template <class T>
inline Vec<T> sums(Vec<T>* x) {
#pragma GCC unroll 4
    for (int n = Simd<T>::lanes; n > 1; n /= 2)
#pragma GCC unroll 8
        for (int k = 0; k < n / 2; k++) x[k] = add_pairs<T>(x[2 * k], x[2 * k + 1]);
    return x[0];
}
template <class T>
inline double sum(Vec<T> x) {
    double total = 0;
    for (int k = 0; k < Simd<T>::lanes; k++) total += x[k];
    return total;
}

// Memory for activations: on 2 MiB pages where there are any, so that a step over channels is no page walk each.
template <class T>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(size_t count) {
        const size_t page = size_t(2) << 20, bytes = (count * sizeof(T) + 64 + page - 1) / page * page;
        data_ = static_cast<T*>(std::aligned_alloc(page, bytes));
        if (!data_) throw std::bad_alloc();
#if defined(__linux__)
        madvise(data_, bytes, MADV_HUGEPAGE);
#endif
    }
    Buffer(Buffer&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
    Buffer& operator=(Buffer&& other) noexcept { std::swap(data_, other.data_); return *this; }
    ~Buffer() { std::free(data_); }
    T* get() const { return data_; }

private:
    T* data_ = nullptr;
};

// Small tables: as std::vector, but aligned for vectors, and zero at first.
template <class T>
class Table {
public:
    Table() = default;
    explicit Table(size_t count) : count_(count) {
        data_ = static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 127) / 64 * 64));
        if (!data_) throw std::bad_alloc();
        clear();
    }
    Table(Table&& other) noexcept : data_(other.data_), count_(other.count_) { other.data_ = nullptr; }
    Table& operator=(Table&& other) noexcept { std::swap(data_, other.data_); std::swap(count_, other.count_); return *this; }
    ~Table() { std::free(data_); }
    void clear() { std::memset(data_, 0, count_ * sizeof(T)); }
    T& operator[](size_t k) { return data_[k]; }
    const T& operator[](size_t k) const { return data_[k]; }
    T* get() { return data_; }
    const T* get() const { return data_; }

private:
    T* data_ = nullptr;
    size_t count_ = 0;
};

}  // namespace native
