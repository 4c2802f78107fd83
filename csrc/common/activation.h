// What makes maps of logits. The numbers are those of closedform_wsss/_common/activation.py.
#pragma once

namespace cfw {

enum Activation : int { kNoActivation = 0, kSigmoid = 1, kSoftmax = 2 };

}  // namespace cfw
