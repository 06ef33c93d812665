// TQ_HOST_DEVICE: before functions that GPU kernels call too.
#pragma once

#ifdef __CUDACC__
#define TQ_HOST_DEVICE __host__ __device__
#else
#define TQ_HOST_DEVICE
#endif
