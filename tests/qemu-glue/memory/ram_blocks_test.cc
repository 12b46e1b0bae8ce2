// Finding RAM blocks: answers of real QEMUs (7.2.22 and 10.0.13, shortened) and malformed ones.
#include "qemu-glue/memory/ram_blocks.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace wherry {
namespace {

using nlohmann::json;

// Answers from a table and refuses all other commands.
class ScriptedMonitor final : public Monitor {
 public:
  std::map<std::string, json> qmp;
  std::map<std::string, std::string> hmp;
  std::vector<std::string> asked;

  Result<json> execute(std::string_view command, json arguments, std::chrono::milliseconds) override {
    if (command == "human-monitor-command") {
      std::string line = arguments["command-line"];
      asked.push_back(line);
      auto found = hmp.find(line);
      if (found == hmp.end()) return json("unknown command: '" + line + "'\r\n");
      return json(found->second);
    }
    asked.emplace_back(command);
    auto found = qmp.find(std::string(command));
    if (found == qmp.end()) return fail("QEMU refuses '{}': The command has not been found", command);
    return found->second;
  }
  void ram_blocks(const std::string& table) { qmp["x-query-ramblock"] = {{"human-readable-text", table}}; }
};

json backend(const std::string& id, uint64_t size) {
  return {{"id", id}, {"size", size}, {"share", false}};
}

json memory_device(const std::string& type, const std::string& backend_id) {
  return {{"type", type}, {"data", {{"memdev", "/objects/" + backend_id}, {"id", "x"}}}};
}

std::map<std::string, RamBlockPlace> found_in(ScriptedMonitor& script) {
  std::map<std::string, RamBlockPlace> places;
  auto found = find_ram_blocks(script);
  EXPECT_TRUE(found) << found.error().message;
  if (found) {
    for (auto& place : *found) places[place.name] = place;
    EXPECT_EQ(places.size(), found->size());
  }
  return places;
}

const char kNewTable[] =
    "              Block Name    PSize              Offset               Used              Total             "
    "   HVA  RO\n"
    "                      m0    4 KiB  0x0000000000000000 0x0000000008002000 0x0000000008002000 "
    "0x00007fa6c7ffd000  rw\n"
    "        0000:00:01.0/vm0    4 KiB  0x0000000008040000 0x0000000008000000 0x0000000008000000 "
    "0x00007fa6bfc00000  rw\n"
    "             /objects/n1    2 MiB  0x0000000010040000 0x0000000008000000 0x0000000008000000 "
    "0x00007fa6b7a00000  rw\n"
    "                      nv    4 KiB  0x0000000010040000 0x0000000008000000 0x0000000008000000 "
    "0x00007fa6a7a00000  rw\n"
    "                    rom0    4 KiB  0x0000000010040000 0x0000000000100000 0x0000000000100000 "
    "0x00007fa697a00000  ro\n"
    "   0000:00:02.0/vga.vram    4 KiB  0x00000000080c0000 0x0000000001000000 0x0000000001000000 "
    "0x00007f3691c00000  rw\n"
    "    /rom@etc/acpi/tables    4 KiB  0x00000000180c0000 0x0000000000020000 0x0000000000200000 "
    "0x00007fa6b6c00000  ro\n"
    "                 pc.bios    4 KiB  0x0000000018040000 0x0000000000040000 0x0000000000040000 "
    "0x00007fa714200000  ro\n";

ScriptedMonitor new_qemu() {
  ScriptedMonitor script;
  script.ram_blocks(kNewTable);
  script.qmp["query-memdev"] = {backend("m0", 0x8002000), backend("vm0", 0x8000000), backend("n1", 0x8000000),
                                backend("nv", 0x8000000), backend("rom0", 0x100000)};
  script.qmp["query-memory-devices"] = {memory_device("virtio-mem", "vm0"), memory_device("dimm", "n1"),
                                        memory_device("nvdimm", "nv")};
  return script;
}

TEST(RamBlocks, NewQemuTellsAddresses) {
  ScriptedMonitor script = new_qemu();
  auto places = found_in(script);
  ASSERT_EQ(places.size(), 8u);
  EXPECT_EQ(places["m0"].host_address, 0x7fa6c7ffd000u);
  EXPECT_EQ(places["m0"].length, 0x8002000u);
  EXPECT_EQ(places["/rom@etc/acpi/tables"].length, 0x20000u);
  std::vector<std::string> plain;
  for (const auto& [name, place] : places) {
    if (place.plain_ram) plain.push_back(name);
  }
  EXPECT_EQ(plain, (std::vector<std::string>{"/objects/n1", "m0"}));
}

TEST(RamBlocks, TheHumanTableIsAsGood) {
  ScriptedMonitor script = new_qemu();
  script.hmp["info ramblock"] = kNewTable;
  script.qmp.erase("x-query-ramblock");
  EXPECT_TRUE(found_in(script)["m0"].plain_ram);
}

TEST(RamBlocks, OneMoreColumnDoesNoHarm) {
  ScriptedMonitor script = new_qemu();
  script.ram_blocks(
      "  Block Name  PSize  Flags Offset Used Total HVA RO New\n"
      "  m0  4 KiB  abc 0x0 0x0000000008002000 0x0000000008002000 0x00007fa6c7ffd000  rw x\n");
  auto places = found_in(script);
  EXPECT_TRUE(places["m0"].plain_ram);
  EXPECT_EQ(places["m0"].host_address, 0x7fa6c7ffd000u);
}

TEST(RamBlocks, AmbiguousNamesAreNotPlain) {
  ScriptedMonitor script = new_qemu();
  script.ram_blocks(std::string(kNewTable) +
                    "   0000:00:09.0/m0    4 KiB  0x0 0x8002000 0x8002000 0x00007ea6c7ffd000  rw\n");
  auto places = found_in(script);
  EXPECT_FALSE(places["m0"].plain_ram);
  EXPECT_FALSE(places["0000:00:09.0/m0"].plain_ram);
}

TEST(RamBlocks, MemoryThatIsNotAllInUseIsNotPlain) {
  ScriptedMonitor script = new_qemu();
  script.ram_blocks(
      "Block Name PSize Offset Used Total HVA RO\n"
      "m0 4 KiB 0x0 0x8001000 0x8002000 0x7fa6c7ffd000 rw\n"
      "n1 4 KiB 0x0 0x7000000 0x7000000 0x7fa600000000 rw\n");
  auto places = found_in(script);
  EXPECT_FALSE(places["m0"].plain_ram);
  EXPECT_FALSE(places["n1"].plain_ram) << "smaller than its backend";
}

TEST(RamBlocks, WhatIsNotUnderstoodIsDropped) {
  const char* header = "Block Name PSize Offset Used Total HVA RO\n";
  for (std::string row :
       {"m0 4 KiB 0x0 0x8002000 0x8002000 0xnonsense rw", "m0 4 KiB 0x0 0x8002000 0x8002000 0x0 rw",
        "m0 4 KiB 0x0 0x8002000 0x8002000 rw", "m0 4 0x0 0x8002000 0x8002000 0x7fa6c7ffd000 rw",
        "4 KiB 0x0 0x8002000 0x8002000 0x7fa6c7ffd000 rw",
        "m0 4 KiB 0x0 0x8002001 0x8002000 0x7fa6c7ffd000 rw",
        "m0 4 KiB 0x0 0x8002000 0x8002000 0xfffffffffffff000 rw",
        "m0 4 KiB 0x0 0x8002000 0x80020000000000000 0x7fa6c7ffd000 rw", "", "\r\r\r", "     "}) {
    ScriptedMonitor script = new_qemu();
    script.ram_blocks(header + row + "\n");
    EXPECT_TRUE(found_in(script).empty()) << row;
  }
  for (std::string table :
       {"", "\n", "nothing to see", "Block Name PSize", "Block Name PSize Offset Total\nx y z"}) {
    ScriptedMonitor script = new_qemu();
    script.ram_blocks(table);
    EXPECT_TRUE(found_in(script).empty()) << table;
  }
}

TEST(RamBlocks, OddJsonIsNoCrash) {
  ScriptedMonitor script = new_qemu();
  script.qmp["query-memdev"] = {7,
                                nullptr,
                                json::object(),
                                {{"id", 5}, {"size", 1}},
                                {{"id", "m0"}, {"size", "x"}},
                                {{"id", ""}, {"size", 1}},
                                {{"id", "m0"}, {"size", -1}}};
  script.qmp["query-memory-devices"] = {7,
                                        nullptr,
                                        json::object(),
                                        {{"type", "virtio-mem"}, {"data", 7}},
                                        {{"type", "virtio-mem"}, {"data", {{"memdev", 7}}}}};
  for (const auto& [name, place] : found_in(script)) EXPECT_FALSE(place.plain_ram) << name;

  script.qmp["query-memdev"] = "text";
  EXPECT_FALSE(find_ram_blocks(script));
  script.qmp.erase("query-memdev");
  EXPECT_FALSE(find_ram_blocks(script));
}

// QEMU 7.2: the table has no addresses.
ScriptedMonitor old_qemu() {
  ScriptedMonitor script;
  script.ram_blocks(
      "              Block Name    PSize              Offset               Used              Total\n"
      "                  pc.ram    4 KiB  0x0000000000000000 0x0000000008002000 0x0000000008002000\n"
      "        0000:00:01.0/vm0    4 KiB  0x0000000008040000 0x0000000008000000 0x0000000008000000\n"
      "             /objects/n1    4 KiB  0x0000000004000000 0x0000000004002000 0x0000000004002000\n"
      "                 pc.bios    4 KiB  0x0000000008040000 0x0000000000040000 0x0000000000040000\n");
  script.qmp["query-memdev"] = {backend("pc.ram", 0x8002000), backend("vm0", 0x8000000),
                                backend("n1", 0x4002000)};
  script.qmp["query-memory-devices"] = json::array({memory_device("virtio-mem", "vm0")});
  script.hmp["info mtree -f"] =
      "FlatView #0\r\n AS \"cpu-smm-0\", root: memory\r\n Root memory region: memory\r\n"
      "  0000000000000000-00000000000bffff (prio 0, ram): pc.ram @0000000000777000\r\n"
      "\r\nFlatView #1\r\n AS \"memory\", root: system\r\n AS \"cpu-memory-0\", root: system\r\n"
      " Root memory region: system\r\n"
      "  0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM\r\n"
      "  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\r\n"
      "  00000000000c0000-00000000000dffff (prio 1, rom): pc.ram @00000000000c0000\r\n"
      "  00000000000e0000-00000000000fffff (prio 0, rom): pc.bios @0000000000020000\r\n"
      "  0000000000100000-0000000008001fff (prio 0, ram): pc.ram @0000000000100000 KVM\r\n"
      "  0000000100000000-0000000107ffffff (prio 0, ram): vm0\r\n"
      "  0000000108000000-000000010c001fff (prio 0, ram): /objects/n1\r\n"
      "\r\nFlatView #2\r\n AS \"I/O\", root: io\r\n Root memory region: io\r\n"
      "  0000000000000000-0000000000000007 (prio 0, ram): pc.ram @0000000000555000\r\n\r\n";
  auto answer = [&](const char* address, const char* region, const char* host) {
    script.hmp[std::string("gpa2hva ") + address] =
        std::string("Host virtual address for ") + address + " (" + region + ") is " + host + "\r\n";
  };
  answer("0x0", "pc.ram", "0x7f7793e00000");
  answer("0x9ffff", "pc.ram", "0x7f7793e9ffff");
  answer("0x100000", "pc.ram", "0x7f7793f00000");
  answer("0x8001fff", "pc.ram", "0x7f779be01fff");
  answer("0x108000000", "/objects/n1", "0x7f7000000000");
  answer("0x10c001fff", "/objects/n1", "0x7f7004001fff");
  return script;
}

TEST(RamBlocks, OldQemuIsAskedForAddresses) {
  ScriptedMonitor script = old_qemu();
  auto places = found_in(script);
  ASSERT_EQ(places.size(), 2u);
  EXPECT_EQ(places["pc.ram"].host_address, 0x7f7793e00000u);
  EXPECT_EQ(places["pc.ram"].length, 0x8002000u);
  EXPECT_TRUE(places["pc.ram"].plain_ram);
  EXPECT_EQ(places["/objects/n1"].host_address, 0x7f7000000000u);
}

TEST(RamBlocks, AddressesThatDisagreeAreNone) {
  for (auto [command, answer] : std::initializer_list<std::pair<const char*, const char*>>{
           {"gpa2hva 0x100000", "Host virtual address for 0x100000 (pc.ram) is 0x7f7793f01000\r\n"},
           {"gpa2hva 0x100000", "Host virtual address for 0x100000 (pc.rom) is 0x7f7793f00000\r\n"},
           {"gpa2hva 0x100000", "Host virtual address for 0x200000 (pc.ram) is 0x7f7793f00000\r\n"},
           {"gpa2hva 0x100000", "Host virtual address for 0x100000 (pc.ram) is 0x10\r\n"},
           {"gpa2hva 0x100000", "Host virtual address for 0x100000 (pc.ram) is 0x\r\n"},
           {"gpa2hva 0x100000", "Host virtual address for 0x100000 (pc.ram) is 0x7f7793f00000 or so\r\n"},
           {"gpa2hva 0x100000", "No memory is mapped at address 0x100000\r\n"},
           {"gpa2hva 0x0", ""},
           {"gpa2hva 0x8001fff", "Host virtual address for 0x8001fff (pc.ram) is 0x7f779be02fff\r\n"}}) {
    ScriptedMonitor script = old_qemu();
    script.hmp[command] = answer;
    auto places = found_in(script);
    EXPECT_FALSE(places.contains("pc.ram")) << answer;
    EXPECT_TRUE(places.contains("/objects/n1")) << answer;
  }
}

TEST(RamBlocks, OldQemuWithStrangeViews) {
  for (const char* view :
       {"", "FlatView #0\r\n", "unknown command: 'info mtree'\r\n",
        "FlatView #1\r\n AS \"memory\", root: system\r\n  0-ffffffffffffffff (prio 0, ram): pc.ram\r\n",
        "FlatView #1\r\n AS \"memory\", root: system\r\n  0000-9ffff (prio 0, ram): pc.ram "
        "@fffffffffffff000\r\n",
        "FlatView #1\r\n AS \"memory\", root: system\r\n  9ffff-0 (prio 0, ram): pc.ram\r\n",
        "FlatView #1\r\n AS \"memory\", root: system\r\n  0-9ffffffffff (prio 0, ram): pc.ram\r\n",
        "FlatView #1\r\n AS \"memory\", root: system\r\n  0-9ffff (prio 0, nv-ram): pc.ram\r\n"}) {
    ScriptedMonitor script = old_qemu();
    script.hmp["info mtree -f"] = view;
    EXPECT_TRUE(found_in(script).empty()) << view;
  }
}

}  // namespace
}  // namespace wherry
