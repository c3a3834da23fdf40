// SPDX-License-Identifier: Apache-2.0
#include "manager/parameter_changes.hpp"

#include "config/parameter_rule.hpp"
#include "manager/json_guard.hpp"
#include "manager/log.hpp"
#include "manager/parameter_text.hpp"

#include <utility>

namespace belay::manager {

namespace {

constexpr std::chrono::milliseconds longest_wait{5000}; ///< for a module, each time it is asked
constexpr unsigned most_attempts = 2;
constexpr std::size_t most_waiting = 64;                                  ///< changes of one module
constexpr std::size_t most_waiting_bytes = std::size_t{16} * 1024 * 1024; ///< of all of them

std::size_t size_of(const Change& change)
{
    return change.text.size() + change.parameter.implementation.size() + change.parameter.name.size();
}

/// `Accepted`, `RebootRequired` or `Rejected`; empty if the module could not handle the request.
tl::expected<std::string, std::string_view> read_response(std::string_view payload)
{
    const auto message = parse_untrusted(payload);
    if (!message)
        return tl::unexpected(message.error());
    const auto& data = member(*message, "data");
    if (member(*message, "msg_type") != "ConfigurationResponse" || !member(data, "status").is_string())
        return tl::unexpected<std::string_view>("it is no response to a change of a parameter");
    const auto& status = member(member(data, "response"), "status");
    const bool handled = member(data, "status") == "Ok" && member(data, "type") == "Set" && status.is_string();
    return handled ? status.get<std::string>() : std::string{};
}

nlohmann::json identifier(const ParameterName& parameter)
{
    nlohmann::json result{{"module_id", parameter.module}, {"configuration_parameter_name", parameter.name}};
    if (parameter.implementation != "!module")
        result["module_implementation_id"] = parameter.implementation;
    return result;
}

} // namespace

ParameterChanges::ParameterChanges(EventLoop& loop, const config::Configuration& configuration, ConfigService& service,
                                   ParameterStore& store, spdlog::logger& log, Ways ways)
    : loop_(loop),
      configuration_(configuration),
      service_(service),
      store_(store),
      log_(log),
      ways_(std::move(ways)),
      soon_(loop, [this] { work_off(); })
{}

ParameterChanges::Queue& ParameterChanges::queue_of(const std::string& module)
{
    auto& queue = queues_[module];
    if (!queue)
        queue = std::make_unique<Queue>(loop_, [this, module] { on_timeout(module); });
    return *queue;
}

void ParameterChanges::request(Change change)
{
    const auto module = change.parameter.module;
    if (!configuration_.modules.contains(module)) {
        const auto why =
            "Config parameter " + printable(change.parameter.name) + " not found in module " + printable(module);
        return ways_.answer(
            service_.set_answer(change, "Error", why, "Rejected", "Unknown target module: " + printable(module)));
    }
    auto& queue = queue_of(module);
    if (queue.changes.size() == most_waiting || waiting_bytes_ + size_of(change) > most_waiting_bytes) {
        const auto why = "Too many changes of module " + module + " are waiting; try again later";
        return ways_.answer(service_.set_answer(change, "Ok", why, "Rejected", why));
    }
    waiting_bytes_ += size_of(change);
    queue.changes.push_back(std::move(change));
    soon_.arm(std::chrono::milliseconds{0});
}

bool ParameterChanges::work_off()
{
    std::vector<Setting> settings;
    std::vector<Queue*> queues;
    bool worked = false;
    for (auto& [module, queue] : queues_) {
        if (queue->waiting || queue->changes.empty())
            continue;
        worked = true;
        auto setting = examine(queue->changes.front());
        if (!setting) {
            finish(*queue, setting.error());
            continue;
        }
        settings.push_back(std::move(*setting));
        queues.push_back(queue.get());
    }
    store(settings, queues);
    if (worked)
        soon_.arm(std::chrono::milliseconds{0});
    return worked;
}

tl::expected<Setting, ParameterChanges::Verdict> ParameterChanges::examine(const Change& change) const
{
    const auto reject = [](const std::string& why) { return tl::unexpected(Verdict{.why = why, .why_inside = why}); };
    const auto& [module, implementation, name] = change.parameter;
    if (phase_ == Phase::changing)
        return reject("The modules are being started or stopped; try again later");
    const auto* parameter = service_.find(change.parameter);
    if (parameter == nullptr)
        return tl::unexpected(Verdict{.status = "Error",
                                      .why = "Config parameter " + printable(name) + " not found in module " + module,
                                      .why_inside = "Unknown parameter: " + printable(name) + " in module: " + module});
    const auto& characteristics = parameter->at("characteristics");
    const auto datatype = characteristics.value("datatype", "");
    auto value = parse_value(change.text, datatype, Strictness::whole);
    // Not every reader goes on after a NUL.
    if (!value || change.text.find('\0') != std::string::npos)
        return reject("Failed to parse config value '" + printable(change.text) + "' as type " + datatype);
    // What the manifest does not allow would keep the charger from its next start.
    if (const auto why =
            config::objection(configuration_, configuration_.modules.at(module), implementation, name, *value);
        !why.empty())
        return reject("The manifest does not allow this value, which " + why);
    return Setting{change.parameter, characteristics, std::move(*value), change.text};
}

void ParameterChanges::store(std::span<const Setting> settings, std::span<Queue* const> queues)
{
    if (settings.empty())
        return;
    const auto done = store_.write(settings);
    if (!done && settings.size() > 1) { // it need not be the fault of all
        for (std::size_t i = 0; i < settings.size(); ++i)
            store(settings.subspan(i, 1), queues.subspan(i, 1));
        return;
    }
    if (!done) {
        const auto& parameter = settings.front().parameter;
        if (rate_limit_.admit("failure"))
            log_entry(log_, spdlog::level::err, about_module(parameter.module),
                      fmt::format("{}: could not set `{}`: {}", parameter.module, parameter.name, done.error()));
        const std::string why = "Failed to persist change";
        return finish(*queues.front(), {.why = why, .why_inside = why});
    }
    for (std::size_t i = 0; i < settings.size(); ++i)
        stored(*queues[i], settings[i]);
}

void ParameterChanges::stored(Queue& queue, const Setting& setting)
{
    service_.postpone(setting.parameter, setting.value);
    if (phase_ != Phase::running || setting.characteristics.value("mutability", "") != "ReadWrite")
        return finish(queue, {.set_status = "RebootRequired", .why = {}, .why_inside = {}});
    queue.asked = 0;
    queue.waiting = ask(queue);
    const std::string why = "Module not responding";
    if (!queue.waiting)
        finish(queue, {.set_status = "RebootRequired", .why = why, .why_inside = why});
}

bool ParameterChanges::ask(Queue& queue)
{
    const auto& change = queue.changes.front();
    if (++queue.asked > most_attempts ||
        !ways_.ask(change.parameter.module, {{"identifier", identifier(change.parameter)}, {"value", change.text}}))
        return false;
    queue.timer.arm(longest_wait);
    return true;
}

void ParameterChanges::finish(Queue& queue, const Verdict& verdict)
{
    const auto change = std::move(queue.changes.front());
    queue.changes.pop_front();
    waiting_bytes_ -= size_of(change);
    queue.waiting = false;
    queue.timer.disarm();
    if (verdict.set_status != "Rejected" && rate_limit_.admit("change"))
        log_entry(log_, spdlog::level::info, about_module(change.parameter.module),
                  fmt::format("{}: `{}` is set by {}{}", change.parameter.module, change.parameter.name, change.origin,
                              verdict.set_status == "Accepted" ? "" : ", and counts from its next start"));
    ways_.answer(service_.set_answer(change, verdict.status, verdict.why, verdict.set_status, verdict.why_inside));
}

tl::expected<void, std::string_view> ParameterChanges::on_response(const std::string& module, std::string_view payload)
{
    const auto status = read_response(payload);
    if (!status)
        return tl::unexpected(status.error());
    const auto found = queues_.find(module);
    if (found == queues_.end() || !found->second->waiting)
        return tl::unexpected<std::string_view>("nobody waits for it");
    auto& queue = *found->second;
    Verdict verdict{.set_status = "RebootRequired", .why = {}, .why_inside = {}};
    if (*status == "Accepted") {
        service_.apply(queue.changes.front().parameter);
        verdict.set_status = "Accepted";
    } else if (status->empty()) {
        verdict.why = verdict.why_inside = "Module not responding";
    } else if (*status != "RebootRequired") {
        verdict.why = verdict.why_inside = "Runtime change rejected by module";
    }
    finish(queue, verdict);
    soon_.arm(std::chrono::milliseconds{0});
    return {};
}

void ParameterChanges::on_timeout(const std::string& module)
{
    auto& queue = queue_of(module);
    if (!queue.waiting || ask(queue))
        return;
    const std::string why = "Module not responding";
    finish(queue, {.set_status = "RebootRequired", .why = why, .why_inside = why});
    soon_.arm(std::chrono::milliseconds{0});
}

void ParameterChanges::set_phase(Phase phase)
{
    if (std::exchange(phase_, phase) == phase || phase == Phase::running)
        return;
    const std::string why = "Module not responding";
    for (auto& [module, queue] : queues_)
        if (queue->waiting)
            finish(*queue, {.set_status = "RebootRequired", .why = why, .why_inside = why});
    while (work_off()) {
    }
}

} // namespace belay::manager
