// NumPy arrays in and out.
#pragma once

#include <nanobind/ndarray.h>

#include <memory>
#include <vector>

#include "module.h"

namespace tq::python {

template <typename T>
using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using NewArray = nb::ndarray<nb::numpy, T>;

// A new array that owns its values. The values' number is the product of the shape.
template <typename T>
NewArray<T> new_array(std::vector<T> values, std::initializer_list<size_t> shape) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owned->data();
  const nb::capsule owner(owned.get(),
                          [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  owned.release();
  return NewArray<T>(data, shape, owner);
}

}  // namespace tq::python
