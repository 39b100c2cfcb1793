// What surrounds a call: training or inference, eager or compiled.
#pragma once

namespace kiln {

/// True while this thread trains: dropout drops, batch statistics are computed. Part of every signature; false by default.
bool is_training();

/// Sets the training flag of this thread until destroyed.
class [[nodiscard]] TrainingScope {
 public:
  explicit TrainingScope(bool training = true);
  ~TrainingScope();
  TrainingScope(const TrainingScope&) = delete;
  TrainingScope& operator=(const TrainingScope&) = delete;

 private:
  bool saved_;
};

/// With true, functions wrapped by KILN_FUNCTION and kiln::function run their bodies eagerly, for debugging. For the whole process.
void run_eagerly(bool on);
bool runs_eagerly();

}  // namespace kiln
