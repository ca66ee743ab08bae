// The functions of model_run.h on ExecuTorch's own runtime: model.pte beside the program, its method forward, one call a time.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "model.h"
#include "model_run.h"

// The wheel has the pool's library and not its header; these are the two functions of it that are called here.
namespace executorch::extension::threadpool {
class ThreadPool {
public:
    bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool *get_threadpool();
}  // namespace executorch::extension::threadpool

using executorch::aten::ScalarType;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::EValue;

static std::unique_ptr<Module> module;
static std::string error;

extern "C" const char *model_error(void) { return error.c_str(); }

// The runtime's own words for the first thing that went wrong in this call: a kernel that is missing, by its name.
static std::string cause;

static void keep_message(et_timestamp_t, et_pal_log_level_t level, const char *, const char *, size_t, const char *message, size_t length) {
    if (cause.empty() && (level == et_pal_log_level_t::kError || level == et_pal_log_level_t::kFatal)) cause.assign(message, length);
}

static int failed(const std::string &what, Error code) {
    error = what + ": " + (cause.empty() ? "no reason was given" : cause) + " (ExecuTorch's error " + std::to_string(static_cast<int>(code)) + ")";
    return 1;
}

static ScalarType type_of(const Tensor &tensor) {
    if (tensor.dtype == "float32") return ScalarType::Float;
    if (tensor.dtype == "float64") return ScalarType::Double;
    if (tensor.dtype == "int64") return ScalarType::Long;
    if (tensor.dtype == "int32") return ScalarType::Int;
    if (tensor.dtype == "uint8") return ScalarType::Byte;
    if (tensor.dtype == "int8") return ScalarType::Char;
    return ScalarType::Bool;
}

extern "C" int model_open(const char *directory, int threads) {
    executorch::runtime::register_pal(executorch::runtime::PalImpl::create(keep_message, __FILE__));
    executorch::runtime::runtime_init();
    executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(static_cast<uint32_t>(threads));
    module = std::make_unique<Module>(std::string(directory) + "/model.pte", Module::LoadMode::Mmap);
    cause.clear();
    // A method of which a kernel is missing is refused here.
    const Error code = module->load_method("forward");
    return code == Error::Ok ? 0 : failed("model.pte cannot be loaded", code);
}

extern "C" int model_run(const void *const *inputs, void *const *outputs, unsigned samples) {
    std::vector<executorch::extension::TensorPtr> tensors;
    std::vector<EValue> values;
    for (size_t i = 0; i < INPUTS.size(); i++) {
        std::vector<executorch::aten::SizesType> sizes = {static_cast<executorch::aten::SizesType>(samples)};
        for (const auto size : INPUTS[i].shape) sizes.push_back(static_cast<executorch::aten::SizesType>(size));
        tensors.push_back(executorch::extension::from_blob(const_cast<void *>(inputs[i]), sizes, type_of(INPUTS[i])));
        values.emplace_back(*tensors.back());
    }
    cause.clear();
    const auto found = module->forward(values);
    if (!found.ok()) return failed("the model cannot answer", found.error());
    for (size_t i = 0; i < OUTPUTS.size(); i++) {
        size_t bytes = samples * OUTPUTS[i].item;
        for (const auto size : OUTPUTS[i].shape) bytes *= static_cast<size_t>(size);
        if (i >= found->size() || !found->at(i).isTensor() || found->at(i).toTensor().nbytes() != bytes) {
            error = "the output " + OUTPUTS[i].name + " is not of the size that was stated";
            return 1;
        }
        std::memcpy(outputs[i], found->at(i).toTensor().const_data_ptr(), bytes);
    }
    return 0;
}
