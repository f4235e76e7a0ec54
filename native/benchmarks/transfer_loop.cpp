// The barest transfer between two processes: sendmsg and readv of 1 MiB over TCP or a Unix socket, walking through buffers larger than the
// caches. It is what a handoff over the same socket is compared with.
//
//   transfer_loop tcp|unix             receives: prints where it listens, serves one connection
//   transfer_loop tcp|unix ENDPOINT    sends: reads a number of bytes per line, prints the nanoseconds until the receiver has them all
//
// Before each transfer its length goes ahead as 8 bytes; behind it comes one byte back. Both end with their standard input.

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

template <typename Transfer>
bool Move(std::uint8_t* buffer, std::uint64_t bytes, Transfer transfer) {
    iovec ranges[kPieces + 1];
    for (std::uint64_t done = 0; done < bytes;) {
        std::size_t offset = done % kBufferBytes;
        std::size_t left = std::min<std::uint64_t>(bytes - done, kMessageBytes - offset % kMessageBytes);
        ssize_t moved = transfer(ranges, Ranges(buffer, offset, left, ranges));
        if (moved < 0 && errno == EINTR) continue;
        if (moved <= 0) return false;
        done += static_cast<std::uint64_t>(moved);
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
        if (!Move(buffer, bytes, [&](iovec* ranges, int count) { return readv(connection, ranges, count); })) return 1;
        if (send(connection, "", 1, MSG_NOSIGNAL) != 1) return 1;
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
    unsigned long long asked;
    while (std::scanf("%llu", &asked) == 1) {
        std::uint64_t bytes = asked;
        auto started = std::chrono::steady_clock::now();
        if (send(connection, &bytes, sizeof(bytes), MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(bytes))) Fail("send");
        bool sent = Move(buffer, bytes, [&](iovec* ranges, int count) {
            msghdr message{};
            message.msg_iov = ranges;
            message.msg_iovlen = static_cast<std::size_t>(count);
            return sendmsg(connection, &message, MSG_NOSIGNAL);
        });
        char acknowledged;
        if (!sent || !ReadAll(connection, &acknowledged, 1)) Fail("transfer");
        auto elapsed = std::chrono::steady_clock::now() - started;
        std::printf("%lld\n", static_cast<long long>(std::chrono::nanoseconds(elapsed).count()));
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
