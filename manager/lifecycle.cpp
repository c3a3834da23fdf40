// SPDX-License-Identifier: Apache-2.0
#include "manager/lifecycle.hpp"

#include <algorithm>

namespace belay::manager {

namespace {

using S = State;
using E = Event;
using enum Step;

constexpr std::array table{
    // clang-format off
    Transition{S::initializing, E::connected,       S::starting,     {manager_starting_modules, start_modules}},
    Transition{S::initializing, E::connected_idle,  S::idle,         {manager_idle}},
    Transition{S::initializing, E::give_up,         S::exiting,      {finish_failed}},
    Transition{S::initializing, E::stop_idle,       S::exiting,      {sigint_received, finish_succeeded}},
    Transition{S::initializing, E::reload_idle,     S::exiting,      {manager_restart_requested, finish_succeeded}},

    Transition{S::starting,     E::spawned_ready,   S::starting,     {waiting_for_standalone_modules}},
    Transition{S::starting,     E::all_ready,       S::running,      {clear_metadata, manager_running, all_modules_started, announce}},
    Transition{S::starting,     E::stop,            S::terminating,  {sigint_received, manager_shutdown_requested, manager_force_terminating, terminate}},
    Transition{S::starting,     E::stop_gracefully, S::draining,     {sigint_received, manager_shutdown_requested, ask_to_shut_down}},
    Transition{S::starting,     E::stop_idle,       S::exiting,      {sigint_received, finish_succeeded}},
    Transition{S::starting,     E::reload_idle,     S::exiting,      {manager_restart_requested, finish_succeeded}},
    Transition{S::starting,     E::reload,          S::terminating,  {manager_restart_requested, manager_force_terminating, terminate}},
    Transition{S::starting,     E::reload_gracefully, S::draining,     {manager_restart_requested, ask_to_shut_down}},
    Transition{S::starting,     E::fail,            S::terminating_after_failure,
        {manager_shutdown_requested, manager_crash_shutdown_in_progress, manager_force_terminating, terminate}},
    Transition{S::starting,     E::fail_gracefully, S::draining_after_failure,
        {manager_shutdown_requested, ask_to_shut_down, manager_crash_shutdown_in_progress}},
    Transition{S::starting,     E::recover,         S::terminating_to_restart,
        {manager_shutdown_requested, manager_crash_shutdown_in_progress, manager_force_terminating, terminate}},
    Transition{S::starting,     E::recover_gracefully, S::draining_to_restart,
        {manager_shutdown_requested, ask_to_shut_down, manager_crash_shutdown_in_progress}},

    Transition{S::running,      E::all_ready,       S::running,      {clear_metadata, all_modules_started, announce}},
    Transition{S::running,      E::stop,            S::terminating,  {sigint_received, manager_shutdown_requested, manager_force_terminating, terminate}},
    Transition{S::running,      E::stop_gracefully, S::draining,     {sigint_received, manager_shutdown_requested, ask_to_shut_down}},
    Transition{S::running,      E::stop_idle,       S::exiting,      {sigint_received, finish_succeeded}},
    Transition{S::running,      E::reload_idle,     S::exiting,      {manager_restart_requested, finish_succeeded}},
    Transition{S::running,      E::reload,          S::terminating,  {manager_restart_requested, manager_force_terminating, terminate}},
    Transition{S::running,      E::reload_gracefully, S::draining,     {manager_restart_requested, ask_to_shut_down}},
    Transition{S::running,      E::fail,            S::terminating_after_failure,
        {manager_shutdown_requested, manager_crash_shutdown_in_progress, manager_force_terminating, terminate}},
    Transition{S::running,      E::fail_gracefully, S::draining_after_failure,
        {manager_shutdown_requested, ask_to_shut_down, manager_crash_shutdown_in_progress}},
    Transition{S::running,      E::recover,         S::terminating_to_restart,
        {manager_shutdown_requested, manager_crash_shutdown_in_progress, manager_force_terminating, terminate}},
    Transition{S::running,      E::recover_gracefully, S::draining_to_restart,
        {manager_shutdown_requested, ask_to_shut_down, manager_crash_shutdown_in_progress}},

    Transition{S::idle,         E::stop_idle,       S::exiting,      {sigint_received, finish_succeeded}},
    Transition{S::idle,         E::reload_idle,     S::exiting,      {manager_restart_requested, finish_succeeded}},
    Transition{S::idle,         E::lose_broker,     S::idle,         {wait_for_broker}},
    Transition{S::idle,         E::fail,            S::exiting,      {finish_failed}},

    Transition{S::waiting_for_broker, E::connected, S::starting,     {crash_recovery_attempt, manager_starting_modules, start_modules}},
    Transition{S::waiting_for_broker, E::stop_idle, S::exiting,      {sigint_received, finish_succeeded}},
    Transition{S::waiting_for_broker, E::reload_idle, S::exiting,    {manager_restart_requested, finish_succeeded}},
    Transition{S::waiting_for_broker, E::lose_broker, S::waiting_for_broker, {wait_for_broker}},
    Transition{S::waiting_for_broker, E::fail,      S::exiting,      {finish_failed}},

    Transition{S::resting,      E::lose_broker,     S::waiting_for_broker, {wait_for_broker}},
    Transition{S::resting,      E::deadline,        S::starting,     {crash_recovery_attempt, manager_starting_modules, start_modules}},
    Transition{S::resting,      E::stop_idle,       S::exiting,      {sigint_received, finish_succeeded}},
    Transition{S::resting,      E::reload_idle,     S::exiting,      {manager_restart_requested, finish_succeeded}},
    Transition{S::resting,      E::fail,            S::exiting,      {finish_failed}},

    Transition{S::draining_to_restart, E::stopped_offline, S::waiting_for_broker, {manager_shutdown_finalizing, wait_for_broker}},
    Transition{S::draining_to_restart, E::lose_broker, S::terminating_to_restart, {manager_force_terminating, terminate}},
    Transition{S::draining_to_restart,    E::stopped,  S::resting,                {manager_shutdown_finalizing, clear_metadata}},
    Transition{S::draining_to_restart,    E::deadline, S::terminating_to_restart, {manager_force_terminating, force_shutdown_timeout, terminate}},
    Transition{S::draining_to_restart,    E::fail,     S::terminating_after_failure, {manager_force_terminating, terminate}},
    Transition{S::draining_to_restart,    E::stop,     S::draining,               {sigint_received}},

    Transition{S::terminating_to_restart, E::stopped_offline, S::waiting_for_broker, {manager_shutdown_finalizing, wait_for_broker}},
    Transition{S::terminating_to_restart, E::stopped,  S::resting,                {manager_shutdown_finalizing, clear_metadata}},
    Transition{S::terminating_to_restart, E::deadline, S::killing_to_restart,     {kill}},
    Transition{S::terminating_to_restart, E::fail,     S::terminating_after_failure, {}},
    Transition{S::terminating_to_restart, E::stop,     S::terminating,            {sigint_received}},

    Transition{S::killing_to_restart, E::stopped_offline, S::waiting_for_broker, {manager_shutdown_finalizing, wait_for_broker}},
    Transition{S::killing_to_restart,     E::stopped,  S::resting,                {manager_shutdown_finalizing, clear_metadata}},
    Transition{S::killing_to_restart,     E::deadline, S::exiting,                {manager_shutdown_finalizing, finish_failed}},
    Transition{S::killing_to_restart,     E::fail,     S::killing_after_failure,  {}},
    Transition{S::killing_to_restart,     E::stop,     S::killing,                {sigint_received}},

    Transition{S::draining,     E::stopped,         S::exiting,      {manager_shutdown_finalizing, finish_succeeded}},
    Transition{S::draining,     E::stopped_clean,   S::exiting,      {manager_shutdown_finalizing, all_modules_stopped_clean, finish_succeeded}},
    Transition{S::draining,     E::deadline,        S::terminating,  {manager_force_terminating, force_shutdown_timeout, terminate}},
    Transition{S::draining,     E::fail,            S::terminating,  {manager_force_terminating, terminate}},
    Transition{S::draining,     E::stop,            S::aborting,     {kill}},

    Transition{S::terminating,  E::stopped,         S::exiting,      {manager_shutdown_finalizing, finish_succeeded}},
    Transition{S::terminating,  E::stopped_clean,   S::exiting,      {manager_shutdown_finalizing, all_modules_stopped_clean, finish_succeeded}},
    Transition{S::terminating,  E::deadline,        S::killing,      {kill}},
    Transition{S::terminating,  E::stop,            S::aborting,     {kill}},

    Transition{S::killing,      E::stopped,         S::exiting,      {manager_shutdown_finalizing, finish_succeeded}},
    Transition{S::killing,      E::deadline,        S::exiting,      {manager_shutdown_finalizing, finish_failed}},

    Transition{S::draining_after_failure, E::stopped_to_idle, S::idle, {manager_shutdown_finalizing, clear_metadata, crash_recovery_exhausted, manager_idle}},
    Transition{S::draining_after_failure,    E::stopped,  S::exiting, {manager_shutdown_finalizing, finish_failed}},
    Transition{S::draining_after_failure,    E::stopped_exhausted, S::exiting, {manager_shutdown_finalizing, crash_recovery_exhausted, finish_failed}},
    Transition{S::draining_after_failure,    E::deadline, S::terminating_after_failure, {manager_force_terminating, force_shutdown_timeout, terminate}},
    Transition{S::draining_after_failure,    E::fail,     S::terminating_after_failure, {manager_force_terminating, terminate}},
    Transition{S::draining_after_failure,    E::stop,     S::terminating_after_failure, {sigint_received, manager_force_terminating, terminate}},

    Transition{S::terminating_after_failure, E::stopped_to_idle, S::idle, {manager_shutdown_finalizing, clear_metadata, crash_recovery_exhausted, manager_idle}},
    Transition{S::terminating_after_failure, E::stopped,  S::exiting, {manager_shutdown_finalizing, finish_failed}},
    Transition{S::terminating_after_failure, E::stopped_exhausted, S::exiting, {manager_shutdown_finalizing, crash_recovery_exhausted, finish_failed}},
    Transition{S::terminating_after_failure, E::deadline, S::killing_after_failure, {kill}},
    Transition{S::terminating_after_failure, E::stop,     S::aborting, {sigint_received, kill}},

    Transition{S::killing_after_failure, E::stopped_to_idle, S::idle, {manager_shutdown_finalizing, clear_metadata, crash_recovery_exhausted, manager_idle}},
    Transition{S::killing_after_failure,     E::stopped,  S::exiting, {manager_shutdown_finalizing, finish_failed}},
    Transition{S::killing_after_failure,     E::stopped_exhausted, S::exiting, {manager_shutdown_finalizing, crash_recovery_exhausted, finish_failed}},
    Transition{S::killing_after_failure,     E::deadline, S::exiting, {manager_shutdown_finalizing, finish_failed}},

    Transition{S::aborting,     E::stopped,         S::exiting,      {finish_failed}},
    Transition{S::aborting,     E::deadline,        S::exiting,      {finish_failed}},
    // clang-format on
};

} // namespace

std::string_view status_line(Step step)
{
    switch (step) {
    case manager_initializing:
        return "MANAGER_INITIALIZING";
    case manager_starting_modules:
        return "MANAGER_STARTING_MODULES";
    case waiting_for_standalone_modules:
        return "WAITING_FOR_STANDALONE_MODULES";
    case manager_running:
        return "MANAGER_RUNNING";
    case all_modules_started:
        return "ALL_MODULES_STARTED";
    case sigint_received:
        return "SIGINT_RECEIVED";
    case manager_restart_requested:
        return "MANAGER_RESTART_REQUESTED";
    case manager_shutdown_requested:
        return "MANAGER_SHUTDOWN_REQUESTED";
    case manager_crash_shutdown_in_progress:
        return "MANAGER_CRASH_SHUTDOWN_IN_PROGRESS";
    case manager_force_terminating:
        return "MANAGER_FORCE_TERMINATING";
    case force_shutdown_timeout:
        return "FORCE_SHUTDOWN_TIMEOUT";
    case manager_shutdown_finalizing:
        return "MANAGER_SHUTDOWN_FINALIZING";
    case manager_idle:
        return "MANAGER_IDLE";
    case all_modules_stopped_clean:
        return "ALL_MODULES_STOPPED_CLEAN";
    case crash_recovery_attempt:
        return "CRASH_RECOVERY_ATTEMPT";
    case crash_recovery_exhausted:
        return "CRASH_RECOVERY_EXHAUSTED";
    case manager_exiting:
        return "MANAGER_EXITING";
    default:
        return {};
    }
}

std::span<const Transition> transitions()
{
    return table;
}

Limit limit_of(State state)
{
    switch (state) {
    case State::resting:
        return Limit::rest;
    case State::draining:
    case State::draining_after_failure:
    case State::draining_to_restart:
        return Limit::request;
    case State::terminating:
    case State::terminating_after_failure:
    case State::terminating_to_restart:
        return Limit::stop;
    case State::killing:
    case State::killing_after_failure:
    case State::killing_to_restart:
        return Limit::kill;
    case State::aborting:
        return Limit::abort;
    case State::initializing:
    case State::starting:
    case State::running:
    case State::idle:
    case State::waiting_for_broker:
    case State::exiting:
        return Limit::none;
    }
    return Limit::none;
}

const Transition* Lifecycle::apply(Event event)
{
    const auto found =
        std::ranges::find_if(table, [&](const Transition& row) { return row.state == state_ && row.event == event; });
    if (found == table.end())
        return nullptr;
    state_ = found->next;
    return &*found;
}

} // namespace belay::manager
