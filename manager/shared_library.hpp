// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace belay::manager {

/// A library by dlopen(3), for what only the unprivileged half needs: with libmosquitto comes all of TLS, with
/// libsystemd come D-Bus and decompressors. What reads and decides as root has none of that in its memory, and
/// `--check` does not wait for it, which was a seventh of its time. It stays until the process ends.
class SharedLibrary
{
public:
    /// Throws std::runtime_error, which says what could not be loaded and which `package` of Debian's has it.
    SharedLibrary(const char* name, const char* package);

    /// A function, of the type of the pointer that it initialises; in its header is which one that is.
    class Function
    {
    public:
        explicit Function(void* address) : address_(address) {}

        template <typename Type>
        operator Type*() const // NOLINT(google-explicit-constructor)
        {
            return reinterpret_cast<Type*>(address_);
        }

    private:
        void* address_;
    };

    /// Throws std::runtime_error, if the library has no such function.
    [[nodiscard]] Function operator[](const char* function) const;

private:
    const char* name_;
    void* handle_;
};

} // namespace belay::manager
