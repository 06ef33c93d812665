// The table of the generic kernels.
#include "kernels/cpu/generic.h"

namespace tq {

const CpuKernels& generic_kernels() {
  static const CpuKernels kTable = [] {
    CpuKernels table{};
    table.name = "generic";
    table.part_cost = 32768;
    generic::fill_matmul(table);
    generic::fill_inputs(table);
    generic::fill_attention(table);
    generic::fill_routing(table);
    generic::fill_recurrent(table);
    generic::fill_elementwise(table);
    return table;
  }();
  return kTable;
}

}  // namespace tq
