// SPDX-License-Identifier: Apache-2.0
// The code books of GGUF's IQ types, which are facts of the format; scripts/fixtures/gguf_types.py checks their values.
#ifndef EFT_GGUF_GRIDS_H
#define EFT_GGUF_GRIDS_H

#include <stdint.h>

// Rows of eight codes of 2 bits, the first in the lowest bits; of IQ2 they mean 8, 25 and 43, of IQ1 -1, 0 and 1.
extern const uint8_t eft_grid_iq2_xxs[512];
extern const uint8_t eft_grid_iq2_xs[1024];
extern const uint8_t eft_grid_iq2_s[2048];
extern const uint8_t eft_grid_iq1_s[4096];
// Rows of four codes of 4 bits; of IQ3_XXS they mean 4, 12, 20, 28, 36, 44, 52, 62, of IQ3_S 2c + 1.
extern const uint8_t eft_grid_iq3_xxs[512];
extern const uint8_t eft_grid_iq3_s[1024];

#endif
