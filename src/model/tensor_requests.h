// The tensors a ModelSpec needs: names and shapes as a checkpoint must have them, and where in the
// decoder's weights each goes. Used while a model loads, by one thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "model/materialize.h"
#include "model/weights.h"

namespace tq {

// A matrix of a tensor that is being loaded, and where in it: its first row over all experts.
struct LoadedMatrix {
  WeightView weight;  // its planes are null where no values are read, or the device reads them
  int64_t first_row = 0;

  LoadedMatrix slice(int64_t first, int64_t n) const {
    return {weight.slice(first, n), first_row + first};
  }
  LoadedMatrix expert(int64_t e) const { return slice(e * weight.rows, weight.rows); }
};

// What loading a weight needs: takes weights from host memory, or from the checkpoint where the
// device compresses them, to where the backend's operators read them.
struct WeightLoading {
  Backend& backend;
  Materializer& materializer;
  DecoderWeights& weights;
  const std::function<void(const PlacedMatrix&)>& placed;  // LoadOptions::placed

  const TensorEntry* tensor = nullptr;  // that is being bound
  bool encodes = false;                 // the device compresses it: place() then reads its rows

  WeightView place(const LoadedMatrix& matrix) const;
  // Takes the host memory that placed weights came from: needed on if they are read in place.
  void keep(Buffer host) const;
};

// A matrix, a vector or a single number; exactly one of the targets is set.
struct TensorRequest {
  std::string name;
  Shape shape;
  std::function<void(const LoadedMatrix&, const WeightLoading&)> bind;  // of a matrix
  const float** vector = nullptr;
  float* scalar = nullptr;

  AffineMap map;               // of a vector's elements
  bool transposed = false;     // a vector whose tensor is a matrix: by its columns
  bool plain = false;          // a matrix that is never computed with in compressed form
  bool on_host = false;        // bind reads the matrix
  bool unannounced = false;    // the config says that there is none
  int64_t rows_per_token = 1;  // input rows of a matrix for each token of a step
  // Of the bytes, a decoded token reads read_part / read_whole.
  int64_t read_part = 1;
  int64_t read_whole = 1;
  const TensorEntry* entry = nullptr;  // once found
};

struct RequestContext {
  const ModelSpec& spec;
  const TensorNames& names;
  const TensorNames::Place& place;
  const Checkpoint& checkpoint;  // tells which form the experts have, and what the config denies
  Backend& backend;
};

// Makes weights.layers from the spec and lists every tensor to be loaded into `weights`, which must
// stay where it is until they are.
std::vector<TensorRequest> request_tensors(const RequestContext& context, DecoderWeights& weights);

}  // namespace tq
