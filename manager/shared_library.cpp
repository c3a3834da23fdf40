// SPDX-License-Identifier: Apache-2.0
#include "manager/shared_library.hpp"

#include <stdexcept>
#include <string>

#include <dlfcn.h>

namespace belay::manager {

SharedLibrary::SharedLibrary(const char* name, const char* package)
    : name_(name), handle_(::dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE))
{
    if (handle_ == nullptr)
        throw std::runtime_error(std::string{"dlopen(): "} + ::dlerror() + "; install " + package);
}

SharedLibrary::Function SharedLibrary::operator[](const char* function) const
{
    void* address = ::dlsym(handle_, function);
    if (address == nullptr)
        throw std::runtime_error(std::string{name_} + " has no function " + function + "; install a newer one");
    return Function{address};
}

} // namespace belay::manager
