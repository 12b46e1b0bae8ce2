// Owns a list of libvirt's typed parameters. Not thread-safe. Errors of libvirt are ignored: adding fails
// only if a name is too long, which no input can cause, or if memory runs out.
#pragma once

#include <libvirt/libvirt.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace wherry::domain {

class TypedParams {
 public:
  // libvirt's functions crash before virInitialize(). Calling it again has no effect.
  TypedParams() { virInitialize(); }
  TypedParams(TypedParams&& other) noexcept
      : params_(std::exchange(other.params_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  TypedParams& operator=(TypedParams&&) = delete;
  ~TypedParams() { virTypedParamsFree(params_, size_); }

  void add(const char* name, const std::string& value) {
    virTypedParamsAddString(&params_, &size_, &capacity_, name, value.c_str());
  }
  void add(const char* name, uint64_t value) {
    virTypedParamsAddULLong(&params_, &size_, &capacity_, name, value);
  }
  void add(const char* name, int value) { virTypedParamsAddInt(&params_, &size_, &capacity_, name, value); }

  // Nothing if the parameter is absent or has another type.
  std::optional<uint64_t> number(const char* name) const {
    unsigned long long value = 0;
    if (virTypedParamsGetULLong(params_, size_, name, &value) != 1) return std::nullopt;
    return value;
  }
  std::optional<int> integer(const char* name) const {
    int value = 0;
    if (virTypedParamsGetInt(params_, size_, name, &value) != 1) return std::nullopt;
    return value;
  }

  virTypedParameterPtr data() const { return params_; }
  int size() const { return size_; }
  // For libvirt functions that return a list. This list must be empty.
  virTypedParameterPtr* make() { return &params_; }
  int* made() { return &size_; }

 private:
  virTypedParameterPtr params_ = nullptr;
  int size_ = 0;
  int capacity_ = 0;
};

}  // namespace wherry::domain
