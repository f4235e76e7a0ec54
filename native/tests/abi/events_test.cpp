// The three ways to watch a handle: poll and wait, callback, eventfd.
#include "tiny_cache.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace {

struct told {
    std::mutex gate;
    std::condition_variable changed;
    std::uint32_t events = 0;
    int calls = 0;
    std::atomic<int> inside{0}, most_inside{0};
    kvh_status wait_status = KVH_OK, close_status = KVH_OK, poll_status = KVH_E_INTERNAL;

    static void callback(void* user, kvh_handle handle, std::uint32_t events) {
        told& self = *static_cast<told*>(user);
        int inside = ++self.inside;
        if (inside > self.most_inside) self.most_inside = inside;
        std::uint32_t all = 0;
        kvh_status waited = kvh_wait(handle, KVH_EVENT_ENDED, 1000, nullptr), closed = kvh_close(handle), polled = kvh_poll(handle, &all);
        {
            std::lock_guard<std::mutex> hold(self.gate);
            self.events |= events;
            self.calls++;
            self.wait_status = waited;
            self.close_status = closed;
            self.poll_status = polled;
        }
        self.inside--;
        self.changed.notify_all();
    }

    bool await(std::uint32_t mask) {
        std::unique_lock<std::mutex> hold(gate);
        return changed.wait_for(hold, tiny::patience, [&] { return (events & mask) == mask; });
    }
};

TEST(Callbacks, TellEveryEventOneAtATimeAndRefuseToWait) {
    tiny::pair pair("unix");
    kvh::sequence sent = tiny::filled(pair.from, 640);
    kvh::outgoing outgoing = pair.send(sent, 640);
    told sender, receiver;
    outgoing.on_event(KVH_EVENT_GRANTED | KVH_EVENT_ENDED, told::callback, &sender);
    kvh::incoming incoming = pair.receiver.next(tiny::patience);
    incoming.on_event(KVH_EVENT_LAYER | KVH_EVENT_LANDED | KVH_EVENT_ENDED, told::callback, &receiver);
    EXPECT_TRUE(sender.await(KVH_EVENT_GRANTED | KVH_EVENT_COMMITTED));
    EXPECT_TRUE(receiver.await(KVH_EVENT_LAYER | KVH_EVENT_LANDED | KVH_EVENT_COMMITTED));
    outgoing.on_event(0, nullptr, nullptr);
    incoming.on_event(0, nullptr, nullptr);
    for (told* side : {&sender, &receiver}) {
        EXPECT_EQ(side->most_inside, 1);
        EXPECT_EQ(side->wait_status, KVH_E_CALLBACK);
        EXPECT_EQ(side->close_status, KVH_E_CALLBACK);
        EXPECT_EQ(side->poll_status, KVH_OK);
    }
    EXPECT_EQ(sender.events & ~(KVH_EVENT_GRANTED | KVH_EVENT_COMMITTED), 0u);
}

TEST(Callbacks, NoneComesAfterClose) {
    tiny::pair pair("loopback");
    kvh::sequence sent = tiny::filled(pair.from, 64);
    for (int i = 0; i < 200; i++) {
        told side;
        kvh::outgoing outgoing = pair.send(sent, 64);
        outgoing.on_event(KVH_EVENT_GRANTED | KVH_EVENT_ENDED, told::callback, &side);
        outgoing.close();
        int calls = side.calls;
        std::this_thread::yield();
        EXPECT_EQ(calls, side.calls);
    }
    while (kvh::incoming nobody = pair.receiver.next(kvh::milliseconds(0))) nobody.close();
}

TEST(Eventfd, CountsEventsOfManyHandles) {
    tiny::pair pair("unix");
    int fd = eventfd(0, EFD_CLOEXEC), own = dup(fd);
    kvh::sequence sent = tiny::filled(pair.from, 64);
    pair.receiver.set_eventfd(KVH_EVENT_INCOMING, fd);
    kvh::outgoing first = pair.send(sent, 64), second = pair.send(sent, 64);
    first.set_eventfd(KVH_EVENT_ENDED, fd);
    second.set_eventfd(KVH_EVENT_ENDED, fd);
    // The library has a descriptor of its own.
    close(fd);
    std::uint64_t events = 0;
    while (events < 4) {
        pollfd ready{own, POLLIN, 0};
        ASSERT_EQ(::poll(&ready, 1, 20000), 1);
        std::uint64_t more = 0;
        ASSERT_EQ(read(own, &more, sizeof more), static_cast<ssize_t>(sizeof more));
        events += more;
    }
    EXPECT_EQ(events, 4u);
    kvh::incoming a, b, none;
    EXPECT_EQ(pair.receiver.try_next(kvh::milliseconds(0), a), KVH_OK);
    EXPECT_EQ(pair.receiver.poll(), static_cast<std::uint32_t>(KVH_EVENT_INCOMING));
    EXPECT_EQ(pair.receiver.try_next(kvh::milliseconds(0), b), KVH_OK);
    EXPECT_EQ(pair.receiver.try_next(kvh::milliseconds(0), none), KVH_PENDING);
    EXPECT_EQ(pair.receiver.poll(), 0u);
    EXPECT_EQ(first.poll(), static_cast<std::uint32_t>(KVH_EVENT_GRANTED | KVH_EVENT_COMMITTED));
    EXPECT_EQ(first.try_set_eventfd(KVH_EVENT_ENDED, 123456), KVH_E_ARGUMENT);
    close(own);
}

TEST(Waiting, EndsByTimeAndByClose) {
    tiny::pair pair("loopback");
    kvh::incoming none;
    EXPECT_EQ(pair.receiver.try_next(kvh::milliseconds(15), none), KVH_TIMEOUT);
    kvh::sequence sent = tiny::filled(pair.from, 64);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 64;
    kvh::outgoing outgoing = pair.sender.offer(sent, offer);
    EXPECT_EQ(outgoing.try_wait(KVH_EVENT_ENDED, kvh::milliseconds(15)), KVH_TIMEOUT);
    kvh_handle handle = outgoing.get();
    kvh_status ended = KVH_OK;
    std::thread waiter([&] { ended = kvh_wait(handle, KVH_EVENT_ENDED, 60000, nullptr); });
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    outgoing.close();
    waiter.join();
    EXPECT_EQ(ended, KVH_E_HANDLE);
    kvh_receiver receiver = pair.receiver.get();
    std::thread other([&] {
        kvh_incoming incoming = 0;
        while ((ended = kvh_receiver_next(receiver, 60000, &incoming)) == KVH_OK) kvh_close(incoming);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    kvh_status closed;
    while ((closed = pair.receiver.try_close()) == KVH_E_IN_USE) std::this_thread::yield();
    other.join();
    EXPECT_EQ(closed, KVH_OK);
    EXPECT_TRUE(ended == KVH_END || ended == KVH_E_HANDLE) << ended;
}

}  // namespace
