// The loops of a matrix product for one vector path.

#include "gemm_tile.h"
#include "gemm_panels.h"
#include "gemm_pack.h"

