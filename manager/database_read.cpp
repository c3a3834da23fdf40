// SPDX-License-Identifier: Apache-2.0
#include "config/files.hpp"
#include "manager/database_slot.hpp"
#include "manager/database_types.hpp"
#include "manager/json_guard.hpp"
#include "manager/log.hpp"
#include "manager/parameter_text.hpp"

namespace belay::manager {

namespace {

using nlohmann::json;

/// Fills `modules` table by table; the first value that makes no sense is an error.
class SlotReader
{
public:
    SlotReader(Sqlite& database, int slot) : database_(database), slot_(slot) {}

    Sqlite::Result<json> read()
    {
        auto done = each("SELECT ID, NAME, STANDALONE, CAPABILITIES FROM MODULE WHERE CONFIG_ID = ?",
                         [this](const auto& row) { add_module(row); });
        if (done)
            done = each("SELECT MODULE_ID, REQUIREMENT_NAME, IMPLEMENTATION_MODULE_ID, IMPLEMENTATION_ID "
                        "FROM MODULE_FULFILLMENT WHERE CONFIG_ID = ? ORDER BY REQUIREMENT_NAME, REQUIREMENT_INDEX",
                        [this](const auto& row) { add_connection(row); });
        if (done)
            done = each("SELECT MODULE_ID, IMPLEMENTATION_ID, EVSE_ID, CONNECTOR_ID FROM MODULE_TIER_MAPPING "
                        "WHERE CONFIG_ID = ?",
                        [this](const auto& row) { add_mapping(row); });
        if (done)
            done = each("SELECT MODULE_ID, ALLOW_GLOBAL_READ, ALLOW_GLOBAL_WRITE, ALLOW_SET_READ_ONLY "
                        "FROM CONFIG_ACCESS WHERE CONFIG_ID = ?",
                        [this](const auto& row) { add_access(row); });
        if (done)
            done = each("SELECT MODULE_ID, OTHER_MODULE_ID, ALLOW_READ, ALLOW_WRITE, ALLOW_SET_READ_ONLY "
                        "FROM MODULE_CONFIG_ACCESS WHERE CONFIG_ID = ?",
                        [this](const auto& row) { add_module_access(row); });
        if (done)
            done = each("SELECT MODULE_ID, MODULE_IMPLEMENTATION_ID, PARAMETER_NAME, VALUE, DATATYPE_ID "
                        "FROM CONFIGURATION WHERE CONFIG_ID = ?",
                        [this](const auto& row) { add_value(row); });
        if (!done)
            return tl::unexpected(done.error());
        if (!complaint_.empty())
            return tl::unexpected(complaint_);
        return std::move(modules_);
    }

private:
    Sqlite::Result<void> each(std::string_view sql, const Sqlite::RowHandler& handler)
    {
        // However large the file is, what is made of it is not.
        return database_.run(sql, {slot_}, [&](const auto& row) {
            bytes_ += row.size();
            if (++rows_ > most_values || bytes_ > config::largest_file)
                complain("holds more than 16 MB or 100,000 rows, which cannot be meant as configuration");
            else
                handler(row);
        });
    }

    void complain(const std::string& what)
    {
        if (complaint_.empty())
            complaint_ = what + "; repair it, or start once with --reset-from-yaml";
    }

    /// EVerest's manager writes the modules first, and reads nothing of a module that is not there.
    json* module(const Sqlite::Row& row)
    {
        const auto found = modules_.find(row.text(0));
        return found == modules_.end() ? nullptr : &*found;
    }

    void add_module(const Sqlite::Row& row)
    {
        auto& entry = modules_[row.text(0)] = {{"module", row.text(1)}};
        if (row.integer(2) != 0)
            entry["standalone"] = true;
        const auto capabilities = row.nullable_text(3);
        if (!capabilities)
            return;
        constexpr std::size_t longest_list = 4096; // all that there are take 700 bytes
        auto list = parse_untrusted(*capabilities, longest_list);
        if (list && list->is_array())
            entry["capabilities"] = std::move(*list);
        else
            complain("says of the module `" + printable(row.text(0)) + "` that its capabilities are `" +
                     printable(*capabilities) + "`, which is no list");
    }

    void add_connection(const Sqlite::Row& row)
    {
        if (auto* entry = module(row))
            (*entry)["connections"][row.text(1)].push_back(
                {{"module_id", row.text(2)}, {"implementation_id", row.text(3)}});
    }

    void add_mapping(const Sqlite::Row& row)
    {
        auto* entry = module(row);
        if (entry == nullptr)
            return;
        json tier{{"evse", row.integer(2)}};
        if (!row.is_null(3))
            tier["connector"] = row.integer(3);
        auto& mapping = (*entry)["mapping"];
        (row.text(1) == "!module" ? mapping["module"] : mapping["implementations"][row.text(1)]) = std::move(tier);
    }

    void add_access(const Sqlite::Row& row)
    {
        if (auto* entry = module(row))
            (*entry)["access"]["config"] = {{"allow_global_read", row.integer(1) != 0},
                                            {"allow_global_write", row.integer(2) != 0},
                                            {"allow_set_read_only", row.integer(3) != 0}};
    }

    void add_module_access(const Sqlite::Row& row)
    {
        auto* entry = module(row);
        if (entry != nullptr && entry->contains("access")) // without the row above, EVerest reads none
            (*entry)["access"]["config"]["modules"][row.text(1)] = {{"allow_read", row.integer(2) != 0},
                                                                    {"allow_write", row.integer(3) != 0},
                                                                    {"allow_set_read_only", row.integer(4) != 0}};
    }

    void add_value(const Sqlite::Row& row)
    {
        auto* entry = module(row);
        if (entry == nullptr)
            return;
        const auto implementation = row.text(1);
        const auto name = row.text(2);
        auto value = parse_value(row.text(3), datatype_name(row.integer(4)), Strictness::prefix);
        if (!value)
            return complain("says of the parameter `" + printable(name) + "` of the module `" + printable(row.text(0)) +
                            "` that it is `" + printable(row.text(3)) + "`, which is not of its type");
        auto& map =
            implementation == "!module" ? (*entry)["config_module"] : (*entry)["config_implementation"][implementation];
        map[name] = std::move(*value);
    }

    Sqlite& database_;
    int slot_;
    std::size_t rows_ = 0;
    std::size_t bytes_ = 0;
    json modules_ = json::object();
    std::string complaint_;
};

} // namespace

Sqlite::Result<std::optional<json>> read_slot(Sqlite& database, int slot)
{
    const auto there = database.number("SELECT count(*) FROM CONFIG_META WHERE ID = ?", {slot});
    if (!there)
        return tl::unexpected(there.error());
    if (*there == 0)
        return std::optional<json>{};
    return SlotReader{database, slot}.read().map(
        [](json&& modules) { return std::optional<json>{std::move(modules)}; });
}

} // namespace belay::manager
