// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

/// What happens that an operator may have to act on. Each has a fixed MESSAGE_ID (systemd.journal-fields(7)), by which
/// `journalctl -x` finds what to do in systemd/belay.catalog. One table for both halves; an id is never used again for
/// something else.
namespace belay {

enum class JournalMessage : std::uint8_t
{
    module_started,      ///< its program executes
    module_ready,        ///< it said so
    module_ended,        ///< it ended, and nothing is wrong with that
    module_crashed,      ///< it ended by itself, or had to be ended
    module_refused,      ///< it could not be started
    module_restarted,    ///< it is started again, alone
    module_late,         ///< it is not ready in time
    module_killed,       ///< it does not end in time
    all_ready,           ///< the charger is up
    broker_lost,         ///< or not reached
    configuration_error, ///< nothing is started, or reloaded, because of it
    configuration_doubt, ///< a warning about the configuration
    start_refused,       ///< nothing is started, for a reason that is not in the configuration
    manager_ended,       ///< by itself: the launcher stops all
    launcher_ended,      ///< by itself: the manager ends all
    watchdog_ready,      ///< the chain of watchdogs is fed from now on
    watchdog_trouble,    ///< it is not what was asked for, or is not fed any more
    ladder_step,         ///< a step is taken because somebody does not answer
    last_reset,          ///< why the machine was reset before
    journal_lost,        ///< entries or output could not be given to the journal
};

struct MessageType
{
    JournalMessage message;
    const char* name; ///< the field EVEREST_EVENT
    const char* id;   ///< the field MESSAGE_ID
};

constexpr std::array message_types{
    MessageType{JournalMessage::module_started, "module_started", "e397b9be2c9342e49feeb4f16951fd43"},
    MessageType{JournalMessage::module_ready, "module_ready", "5604e9f3f6f64cfabb61b28eed3f6156"},
    MessageType{JournalMessage::module_ended, "module_ended", "83c09146b82e43d88326369f999efd13"},
    MessageType{JournalMessage::module_crashed, "module_crashed", "4e5bf1905d994fae915cf329e156960e"},
    MessageType{JournalMessage::module_refused, "module_refused", "33246cd428ee450d916a8e0f0c0abd99"},
    MessageType{JournalMessage::module_restarted, "module_restarted", "fc168c7c1ca54b2eab0ff4d041abcf10"},
    MessageType{JournalMessage::module_late, "module_late", "b7204accd7684b4cb669729e63f4b716"},
    MessageType{JournalMessage::module_killed, "module_killed", "baa55ca34d434f8ab90b1eacb1cc1548"},
    MessageType{JournalMessage::all_ready, "all_ready", "5f81db0b13cd458fae1fd33e2dc041b1"},
    MessageType{JournalMessage::broker_lost, "broker_lost", "c59b100d7bac4a5e8224f2a29726738d"},
    MessageType{JournalMessage::configuration_error, "configuration_error", "69cd77cad837492ab25495c07a1e8ba4"},
    MessageType{JournalMessage::configuration_doubt, "configuration_doubt", "5308e6836581436796c04a8988266fc2"},
    MessageType{JournalMessage::start_refused, "start_refused", "30f9801d3df0407ba88093fc401cc02e"},
    MessageType{JournalMessage::manager_ended, "manager_ended", "37eb89d91787444c9bca2d0ad7ca524c"},
    MessageType{JournalMessage::launcher_ended, "launcher_ended", "b5e780c7c9a547538bb749ff92009a63"},
    MessageType{JournalMessage::watchdog_ready, "watchdog_ready", "14ade83bbc2c4831967186973ae56a3d"},
    MessageType{JournalMessage::watchdog_trouble, "watchdog_trouble", "efc76ebe4d244a32a66d9d723e23b751"},
    MessageType{JournalMessage::ladder_step, "ladder_step", "bab58c8a57254efd8f35942b76416852"},
    MessageType{JournalMessage::last_reset, "last_reset", "3b92dc171533433da54377dbfd192353"},
    MessageType{JournalMessage::journal_lost, "journal_lost", "c57e3664c6a2455a860290c4f19bdcd7"},
};

constexpr bool in_order(const decltype(message_types)& types)
{
    std::size_t next = 0;
    return std::all_of(types.begin(), types.end(),
                       [&](const MessageType& type) { return type.message == static_cast<JournalMessage>(next++); });
}
static_assert(in_order(message_types) && message_types.back().message == JournalMessage::journal_lost,
              "the table follows the enumeration");

constexpr const MessageType& type_of(JournalMessage message) noexcept
{
    return message_types[static_cast<std::size_t>(message)];
}

} // namespace belay
