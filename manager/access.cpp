// SPDX-License-Identifier: Apache-2.0
#include "manager/access.hpp"

namespace belay::manager {

namespace {

bool granted(const config::Module& requester, const std::string& target, bool config::Access::*everywhere,
             bool config::ModuleAccess::*there)
{
    if (!requester.access)
        return false;
    if ((*requester.access).*everywhere)
        return true;
    const auto found = requester.access->modules.find(target);
    return found != requester.access->modules.end() && found->second.*there;
}

} // namespace

bool may_read(const config::Module& requester, const std::string& target)
{
    return requester.id == target ||
           granted(requester, target, &config::Access::allow_global_read, &config::ModuleAccess::allow_read);
}

bool may_write(const config::Module& requester, const std::string& target)
{
    return requester.id == target ||
           granted(requester, target, &config::Access::allow_global_write, &config::ModuleAccess::allow_write);
}

bool may_set_read_only(const config::Module& requester, const std::string& target)
{
    return granted(requester, target, &config::Access::allow_set_read_only, &config::ModuleAccess::allow_set_read_only);
}

} // namespace belay::manager
