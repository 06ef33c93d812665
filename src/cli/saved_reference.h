// tq eval kld with saved reference logits: writing them, and comparing a model with them.
#pragma once

#include <string>

#include "cli/command.h"
#include "cli/model_options.h"
#include "engine/reference_logits.h"

namespace tq {

// What the reference is, for the file.
ReferenceModel describe_reference(const std::string& name, const ModelSpec& spec);

// Refuses a model that is not the reference in another form: kInvalidArgument.
void check_same_model(const ReferenceReader& reference, const LoadedModel& loaded,
                      const std::string& path);

// What is run, and where the file goes.
struct SaveReference {
  const ModelOptions& options;
  const LoadedModel& loaded;
  std::string path;
};

// Runs the model over the text and saves what it predicts. Returns its negative log likelihoods.
// Throws what ReferenceWriter throws.
RunningMean save_reference(LogitReader& reader, const ReferenceText& text, const SaveReference& to,
                           const EvalProgress& progress);

}  // namespace tq
