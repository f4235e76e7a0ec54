#include "safetensors.h"

#include "kvhandoff/kvhandoff.hpp"

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace example {

safetensors::safetensors(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::uint64_t header_bytes = 0;
    if (!file.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes) || header_bytes > 100'000'000) throw std::runtime_error(path + " is no safetensors file");
    std::string header(header_bytes, '\0');
    file.read(&header[0], static_cast<std::streamsize>(header_bytes));
    data_.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    // "name":{"dtype":"BF16","shape":[..],"data_offsets":[begin,end]}
    for (std::size_t at = header.find("\"dtype\""); at != std::string::npos; at = header.find("\"dtype\"", at + 1)) {
        std::size_t name_end = header.rfind("\":{", at), name_begin = header.rfind('"', name_end - 1), offsets = header.find("\"data_offsets\":[", at);
        if (name_end == std::string::npos || offsets == std::string::npos) throw std::runtime_error(path + " has a header that is not understood");
        if (header.compare(at, 14, "\"dtype\":\"BF16\"") != 0) throw std::runtime_error(path + " has tensors of other types than BF16");
        char* rest = nullptr;
        entry found;
        found.begin = std::strtoull(header.c_str() + offsets + 16, &rest, 10);
        found.end = std::strtoull(rest + 1, nullptr, 10);
        if (found.begin > found.end || found.end > data_.size()) throw std::runtime_error(path + " is cut short");
        entries_[header.substr(name_begin + 1, name_end - name_begin - 1)] = found;
    }
}

std::vector<float> safetensors::read(const std::string& name, std::size_t elements) const {
    auto found = entries_.find(name);
    if (found == entries_.end() || found->second.end - found->second.begin != 2 * elements) throw std::runtime_error("no tensor " + name + " of " + std::to_string(elements) + " elements");
    std::vector<float> tensor(elements);
    kvh::check(kvh_convert(data_.data() + found->second.begin, KVH_BF16, tensor.data(), KVH_FP32, static_cast<std::int64_t>(elements)));
    return tensor;
}

}  // namespace example
