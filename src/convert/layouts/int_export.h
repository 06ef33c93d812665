// What the layouts of integers (awq, compressed-tensors) share: which tensors become integers, in
// groups of how many weights, and what every tensor of the result is. Linears of attention, MLPs
// and experts do; routers, norms, biases, embeddings, heads, towers, the expansion of latent
// attention and projections of per-layer inputs stay numbers of 16 bits.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "convert/layouts/layout.h"

namespace tq {

struct IntExport {
  IntScheme scheme;  // its group is the largest that is used
  // By int_kind(): weights of a group, 0 for linears whose rows no group divides.
  std::map<std::string, int, std::less<>> groups;

  // The groups that are used, each once, descending.
  std::vector<int> used_groups() const;
};

// What a file of integers asks for.
struct IntFileRules {
  std::string_view layout;
  int outputs_together = 1;  // outputs are a multiple of it: so many share a word
  bool one_group = false;    // all linears have the same
};

// "self_attn.q_proj", "experts.#.down_proj": what the modules of all layers have in common, by
// which groups are chosen and named. Engines put other things before it.
std::string int_kind(std::string_view name);

// "int4-g128"; without the group where there are several.
std::string int_export_name(const IntExport& ints);

// Chooses groups: the largest of 128, 64 and 32 (or `options.group`) that divides the inputs of all
// linears of a kind, of those whose inputs are split among GPUs each one's share; all experts have
// one. Throws kUnsupported naming the tensor, kInvalidArgument for options.
IntExport survey_ints(const Checkpoint& source, const PlanOptions& options, IntScheme scheme,
                      const IntFileRules& rules, std::vector<std::string>& notes);

// Stacks of experts are taken apart into each expert's gate_proj, up_proj and down_proj; all else
// stays whole.
std::vector<TensorPart> int_parts(const TensorEntry& tensor, TensorRole role);

// Plans a tensor that becomes integers, but for its planes; false for one that does not, which is
// planned: as it is, but for matrices of more than 16 bits.
bool plan_ints(const PlanContext& context, const TensorEntry& tensor, PlannedTensor& planned);

// What engines would take for quantised linears but is none.
struct KeptModules {
  std::vector<std::string> names;   // in full
  std::vector<std::string> towers;  // a part of the names of all modules of a tower: engines call
                                    // the rest of them otherwise
};
KeptModules kept_modules(const ConvertPlan& plan);

// tq_config.json of these layouts: hashes of all planes and files, for tq verify.
std::string describe_ints(const Conversion& conversion);

// Throws kInvalidArgument: these layouts have no formats to choose.
void refuse_formats(const PlanOptions& options);

}  // namespace tq
