// The tensors of a checkpoint in one safetensors file, as fp32. Reads what the reference model needs: BF16 tensors and a flat header.
#ifndef KVH_EXAMPLE_SAFETENSORS_H
#define KVH_EXAMPLE_SAFETENSORS_H

#include <map>
#include <string>
#include <vector>

namespace example {

class safetensors {
   public:
    explicit safetensors(const std::string& path);

    /// Elements of a tensor, which must have so many.
    std::vector<float> read(const std::string& name, std::size_t elements) const;

   private:
    struct entry {
        std::size_t begin, end;
    };
    std::map<std::string, entry> entries_;
    std::vector<char> data_;
};

}  // namespace example

#endif
