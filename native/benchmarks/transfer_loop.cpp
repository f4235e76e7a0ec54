// The barest transfer between two processes: sendmsg and readv of 1 MiB over TCP or a Unix socket, walking through buffers larger than the
// caches. It is what a handoff over the same socket is compared with.
//
//   transfer_loop tcp|unix             receives: prints where it listens, serves one connection
//   transfer_loop tcp|unix ENDPOINT    sends: reads a number of bytes per line, prints the nanoseconds until the receiver has them all
//
// A line "checked N" does the same with a CRC-32C over every piece of 256 KiB on both sides, before it is sent and after it has come: what a
// loop costs that knows what it moved. It prints -1 on a processor without the instruction, or when the sums differ.
//
// Before each transfer its length goes ahead as 8 bytes, the highest bit set if it is checked; behind it come 8 bytes back, the sum of the
// checksums. Both end with their standard input.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr std::size_t kMessageBytes = 1 << 20;
// A granule of 64 tokens of a layer with 8 kv heads of 128 in BF16: what lies in one piece.
constexpr std::size_t kPieceBytes = 256 << 10;
constexpr std::size_t kBufferBytes = 256 << 20;
constexpr int kPieces = kMessageBytes / kPieceBytes;

[[noreturn]] void Fail(const char* what) {
    std::fprintf(stderr, "%s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

std::uint8_t* Buffer() {
    void* memory = mmap(nullptr, kBufferBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) Fail("mmap");
    madvise(memory, kBufferBytes, MADV_HUGEPAGE);
    auto* bytes = static_cast<std::uint8_t*>(memory);
    std::uint64_t state = 0x4B56;
    for (std::size_t i = 0; i < kBufferBytes; i += sizeof(state)) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        std::memcpy(bytes + i, &state, sizeof(state));
    }
    return bytes;
}

// The ranges of what is left of the message that begins at `offset` of the buffer.
int Ranges(std::uint8_t* buffer, std::size_t offset, std::size_t left, iovec (&ranges)[kPieces + 1]) {
    int count = 0;
    while (left > 0 && count < kPieces + 1) {
        std::size_t step = std::min(left, kPieceBytes - offset % kPieceBytes);
        ranges[count++] = {buffer + offset, step};
        offset += step;
        left -= step;
    }
    return count;
}

constexpr std::uint64_t kChecked = 1ULL << 63;

#if defined(__x86_64__)
bool CanCheck() { return __builtin_cpu_supports("sse4.2"); }

// The instruction takes three cycles and starts every cycle: three checksums side by side, each of a third of the piece.
__attribute__((target("sse4.2"))) std::uint64_t Checksum(const std::uint8_t* piece, std::size_t bytes) {
    const std::size_t third = bytes / 24 * 8;
    std::uint64_t a = ~0U, b = ~0U, c = ~0U, word;
    auto load = [&](std::size_t at) {
        std::memcpy(&word, piece + at, sizeof(word));
        return word;
    };
    for (std::size_t i = 0; i < third; i += 8) {
        a = __builtin_ia32_crc32di(a, load(i));
        b = __builtin_ia32_crc32di(b, load(i + third));
        c = __builtin_ia32_crc32di(c, load(i + 2 * third));
    }
    for (std::size_t i = 3 * third; i < bytes; i++) c = __builtin_ia32_crc32qi(static_cast<std::uint32_t>(c), piece[i]);
    return a + b + c;
}
#else
bool CanCheck() { return false; }
std::uint64_t Checksum(const std::uint8_t*, std::size_t) { return 0; }
#endif

// Adds up the checksums of a transfer's pieces as they become complete.
class Checks {
public:
    Checks(const std::uint8_t* buffer, std::uint64_t bytes, bool on) : buffer_(buffer), bytes_(bytes), on_(on && CanCheck()) {}

    // The first `done` bytes are there.
    void UpTo(std::uint64_t done) {
        while (on_ && at_ < bytes_) {
            std::uint64_t end = std::min<std::uint64_t>(bytes_, at_ + kPieceBytes);
            if (end > done) return;
            sum_ += Checksum(buffer_ + at_ % kBufferBytes, static_cast<std::size_t>(end - at_));
            at_ = end;
        }
    }

    std::uint64_t Sum() const { return sum_; }

private:
    const std::uint8_t* buffer_;
    std::uint64_t bytes_, at_ = 0, sum_ = 0;
    bool on_;
};

template <typename Transfer, typename Before, typename After>
bool Move(std::uint8_t* buffer, std::uint64_t bytes, Transfer transfer, Before before, After after) {
    iovec ranges[kPieces + 1];
    for (std::uint64_t done = 0; done < bytes;) {
        std::size_t offset = done % kBufferBytes;
        std::size_t left = std::min<std::uint64_t>(bytes - done, kMessageBytes - offset % kMessageBytes);
        before(done + left);
        ssize_t moved = transfer(ranges, Ranges(buffer, offset, left, ranges));
        if (moved < 0 && errno == EINTR) continue;
        if (moved <= 0) return false;
        done += static_cast<std::uint64_t>(moved);
        after(done);
    }
    return true;
}

bool ReadAll(int socket, void* to, std::size_t bytes) {
    auto* at = static_cast<char*>(to);
    while (bytes > 0) {
        ssize_t got = read(socket, at, bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        bytes -= static_cast<std::size_t>(got);
    }
    return true;
}

void SendAtOnce(int socket, bool tcp) {
    int on = 1;
    if (tcp && setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) Fail("TCP_NODELAY");
}

socklen_t Address(bool tcp, const std::string& endpoint, sockaddr_storage& address) {
    std::memset(&address, 0, sizeof(address));
    if (tcp) {
        auto& in = reinterpret_cast<sockaddr_in&>(address);
        in.sin_family = AF_INET;
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in.sin_port = htons(static_cast<std::uint16_t>(std::atoi(endpoint.c_str())));
        return sizeof(in);
    }
    auto& un = reinterpret_cast<sockaddr_un&>(address);
    un.sun_family = AF_UNIX;
    std::size_t length = std::min(endpoint.size(), sizeof(un.sun_path) - 1);
    std::memcpy(un.sun_path + 1, endpoint.data(), length);
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
}

int Receive(bool tcp) {
    int listener = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0) Fail("socket");
    std::string name = tcp ? "0" : "kvhandoff-transfer-loop-" + std::to_string(getpid());
    sockaddr_storage address;
    socklen_t length = Address(tcp, name, address);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener, 1) != 0) Fail("listen");
    if (tcp) {
        length = sizeof(address);
        getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
        name = std::to_string(ntohs(reinterpret_cast<sockaddr_in&>(address).sin_port));
    }
    std::uint8_t* buffer = Buffer();
    std::printf("%s\n", name.c_str());
    std::fflush(stdout);
    // Whoever started this may be gone before anybody connects.
    pollfd waiting[] = {{listener, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (poll(waiting, 2, -1) < 0 || (waiting[0].revents & POLLIN) == 0) return 0;
    int connection = accept(listener, nullptr, nullptr);
    if (connection < 0) Fail("accept");
    SendAtOnce(connection, tcp);
    std::uint64_t bytes;
    while (ReadAll(connection, &bytes, sizeof(bytes))) {
        Checks checks(buffer, bytes & ~kChecked, (bytes & kChecked) != 0);
        bool got = Move(
            buffer, bytes & ~kChecked, [&](iovec* ranges, int count) { return readv(connection, ranges, count); }, [](std::uint64_t) {},
            [&](std::uint64_t done) { checks.UpTo(done); });
        std::uint64_t sum = checks.Sum();
        if (!got || send(connection, &sum, sizeof(sum), MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(sum))) return 1;
    }
    return 0;
}

int Send(bool tcp, const std::string& endpoint) {
    std::uint8_t* buffer = Buffer();
    sockaddr_storage address;
    socklen_t length = Address(tcp, endpoint, address);
    int connection = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
    if (connection < 0 || connect(connection, reinterpret_cast<sockaddr*>(&address), length) != 0) Fail("connect");
    SendAtOnce(connection, tcp);
    char word[32];
    while (std::scanf("%31s", word) == 1) {
        bool checked = std::strcmp(word, "checked") == 0;
        if (checked && std::scanf("%31s", word) != 1) return 1;
        const std::uint64_t length = std::strtoull(word, nullptr, 10), bytes = length | (checked ? kChecked : 0);
        Checks checks(buffer, length, checked);
        auto started = std::chrono::steady_clock::now();
        if (send(connection, &bytes, sizeof(bytes), MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(bytes))) Fail("send");
        bool sent = Move(
            buffer, length,
            [&](iovec* ranges, int count) {
                msghdr message{};
                message.msg_iov = ranges;
                message.msg_iovlen = static_cast<std::size_t>(count);
                return sendmsg(connection, &message, MSG_NOSIGNAL);
            },
            [&](std::uint64_t end) { checks.UpTo(end); }, [](std::uint64_t) {});
        std::uint64_t sum;
        if (!sent || !ReadAll(connection, &sum, sizeof(sum))) Fail("transfer");
        auto elapsed = std::chrono::steady_clock::now() - started;
        bool good = sum == checks.Sum() && (!checked || CanCheck());
        std::printf("%lld\n", good ? static_cast<long long>(std::chrono::nanoseconds(elapsed).count()) : -1LL);
        std::fflush(stdout);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::string transport = argc > 1 ? argv[1] : "";
    if (argc > 3 || (transport != "tcp" && transport != "unix")) {
        std::fprintf(stderr, "usage: %s tcp|unix [ENDPOINT]\n", argv[0]);
        return 2;
    }
    return argc == 2 ? Receive(transport == "tcp") : Send(transport == "tcp", argv[2]);
}
