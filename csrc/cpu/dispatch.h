// Which instruction-set level runs: the best one that this machine has, or one chosen by name (the tests run all).
#pragma once
#include <string>
#include <vector>

namespace cfw {

enum class Level { baseline, avx2, avx512 };

std::vector<std::string> levels();  // those that this machine can run, best last
std::string level();
void set_level(const std::string& name);  // throws std::invalid_argument: this machine cannot, or no such level
Level current_level();

}  // namespace cfw
