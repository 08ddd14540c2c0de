// Repeats recorded launches under a sanitizer: every array has exactly its own size, and must end with the recorded bytes.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

typedef unsigned long long u64;
extern "C" const char *emulate(const char *, unsigned, unsigned, unsigned, u64, const u64 *, unsigned, unsigned);

static u64 number(std::FILE *file) {
    u64 value;
    if (std::fread(&value, 8, 1, file) != 1) std::exit(3);
    return value;
}

static void bytes(std::FILE *file, void *out, u64 count) {
    if (count && std::fread(out, 1, count, file) != count) std::exit(3);
}

// A launch: name, blocks, parts, threads, shared words; arrays as size, bytes before, bytes after; arguments as
// (0, word) or (1, number of the array).
int main(int argc, char **argv) {
    if (argc != 3) return 2;
    std::FILE *file = std::fopen(argv[1], "rb");
    if (!file) return 2;
    unsigned order = std::atoi(argv[2]);
    u64 launches = number(file);
    for (u64 launch = 0; launch < launches; launch++) {
        std::string name(number(file), ' ');
        bytes(file, &name[0], name.size());
        u64 shape[4];
        for (u64 &value : shape) value = number(file);
        u64 count = number(file);
        std::vector<char *> arrays, after;
        std::vector<u64> sizes, arguments;
        for (u64 k = 0; k < count; k++) {
            sizes.push_back(number(file));
            for (auto *list : {&arrays, &after}) {
                list->push_back(static_cast<char *>(std::malloc(sizes[k])));
                bytes(file, list->back(), sizes[k]);
            }
        }
        u64 length = number(file);
        for (u64 k = 0; k < length; k++) {
            u64 kind = number(file), value = number(file);
            arguments.push_back(kind ? reinterpret_cast<u64>(arrays[value]) : value);
        }
        const char *wrong = emulate(name.c_str(), shape[0], shape[1], shape[2], shape[3], arguments.data(), length, order);
        for (u64 k = 0; k < count && !wrong; k++)
            if (std::memcmp(arrays[k], after[k], sizes[k])) wrong = "an array does not end as recorded";
        if (wrong) {
            std::fprintf(stderr, "launch %llu of %s: %s\n", launch, name.c_str(), wrong);
            return 1;
        }
        for (auto *list : {&arrays, &after})
            for (char *array : *list) std::free(array);
    }
    std::printf("%llu launches repeated\n", launches);
    return std::fclose(file);
}
