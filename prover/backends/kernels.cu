// All kernels of the GPU backend as one unit: what nvcc compiles, and what CuPy is given.
#include "gpu_codes.cuh"
#include "gpu_fractions.cuh"
#include "gpu_hash.cuh"
#include "gpu_sums.cuh"
#include "gpu_tables.cuh"
#include "gpu_train.cuh"
