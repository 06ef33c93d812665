// Constraint: which tokens an answer may go on with. The engine asks and tells in turn; one an
// answer, used by the engine's thread only.
#pragma once

#include <cstdint>
#include <span>

namespace tq {

class Constraint {
 public:
  virtual ~Constraint() = default;

  // Sets the bits of tokens that may come next (kernels/ops/sample.h) and clears the others.
  // Whether the answer may end instead is the engine's to add. Throws kInvalidArgument when that
  // cannot be found out, which ends the request.
  virtual void fill_mask(std::span<uint32_t> bits) = 0;
  // Goes on after a token. Throws kInvalidArgument for one that may not come.
  virtual void accept(int32_t token) = 0;
  // Whether the answer so far is a whole one.
  virtual bool may_end() const = 0;
  // And nothing can follow.
  virtual bool must_end() const = 0;
  // Whether any token may come next, ends too: then fill_mask() is not asked.
  virtual bool is_open() const { return false; }
  // Whether it goes by every byte of the tokens, so that none is left out of the answer's text,
  // such as a space that some tokenizers put before it.
  virtual bool counts_bytes() const { return true; }
};

}  // namespace tq
