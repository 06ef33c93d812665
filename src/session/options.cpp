#include "session/options.h"

#include "session/option_reader.h"

namespace tq {

void read_options(const Json& object, ModelOptions& options) {
  OptionReader::read_all(object, options);
}
void read_options(const Json& object, SamplingOptions& options) {
  OptionReader::read_all(object, options);
}

}  // namespace tq
