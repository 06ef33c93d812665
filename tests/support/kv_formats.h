// Short names for the ids of KV formats.
#pragma once

#include "format/kv_formats.h"

namespace tq::fixtures {

inline constexpr KvFormatId kKvF32 = kv_format_id<KvF32>();
inline constexpr KvFormatId kKvF16 = kv_format_id<KvF16>();
inline constexpr KvFormatId kKvBf16 = kv_format_id<KvBf16>();

}  // namespace tq::fixtures
