// The faults of the managed library, through the interface: each ends once, with the status that says what to rebuild, and gives its blocks back.
#include "tiny_cache.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

extern char** environ;

namespace {

// The other process: it does what its arguments say until it is killed.
class peer {
   public:
    peer(const std::string& role, const std::string& endpoint) {
        int out[2];
        EXPECT_EQ(pipe(out), 0);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        posix_spawn_file_actions_addclose(&actions, out[0]);
        std::string path = KVH_PEER_PATH;
        std::vector<char*> arguments = {&path[0], const_cast<char*>(role.c_str()), const_cast<char*>(endpoint.c_str()), nullptr};
        EXPECT_EQ(posix_spawn(&id_, path.c_str(), &actions, nullptr, arguments.data(), environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        ::close(out[1]);
        out_ = out[0];
    }
    ~peer() {
        kill();
        ::close(out_);
    }

    std::string line() {
        std::string text;
        char c = 0;
        while (read(out_, &c, 1) == 1 && c != '\n') text += c;
        return text;
    }
    void kill() {
        if (id_ <= 0) return;
        ::kill(id_, SIGKILL);
        waitpid(id_, nullptr, 0);
        id_ = 0;
    }

   private:
    pid_t id_ = 0;
    int out_ = -1;
};

class Killed : public testing::TestWithParam<const char*> {};

TEST_P(Killed, SenderLeavesNothingBehindAtTheReceiver) {
    kvh::cache to = tiny::cache(tiny::layout(), 1024, std::strcmp(GetParam(), "shm") == 0 ? static_cast<unsigned>(KVH_CACHE_SHARED) : 0u);
    kvh::receiver receiver = kvh::receiver::listen(tiny::address(GetParam()), to, kvh::make<kvh_receiver_options>());
    peer other("sender", receiver.endpoint());
    ASSERT_EQ(other.line(), "published");
    kvh::incoming incoming = receiver.next(tiny::patience);
    ASSERT_TRUE(incoming.wait_layer(0, tiny::patience));
    EXPECT_GT(to.describe().used_blocks, 0);
    other.kill();
    EXPECT_EQ(incoming.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_E_PEER_GONE);
    EXPECT_EQ(incoming.describe().state, KVH_STATUS_ABORTED);
    incoming.close();
    EXPECT_EQ(to.describe().used_blocks, 0);
}

TEST_P(Killed, ReceiverEndsTheHandoffAtTheSender) {
    peer other("receiver", tiny::address(GetParam()));
    std::string endpoint = other.line();
    kvh::cache from = tiny::cache(tiny::layout(), 1024);
    kvh::sender sender = kvh::sender::connect(endpoint, from, kvh::make<kvh_sender_options>());
    kvh::sequence sent = tiny::filled(from, 640);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 640;
    kvh::outgoing outgoing = sender.offer(sent, offer);
    ASSERT_TRUE(outgoing.wait(KVH_EVENT_GRANTED, tiny::patience));
    outgoing.publish(0, 0, 640);
    other.kill();
    EXPECT_EQ(outgoing.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_E_PEER_GONE);
    EXPECT_NE(outgoing.last_error(), "");
    outgoing.close();
    sent.close();
    EXPECT_EQ(from.describe().used_blocks, 0);
}

INSTANTIATE_TEST_SUITE_P(Transports, Killed, testing::Values("tcp", "unix", "shm"), [](const auto& info) { return std::string(info.param); });

TEST(Faults, ADeadlineEndsBothSides) {
    tiny::pair pair("unix");
    kvh::sequence sent = tiny::filled(pair.from, 64);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 64;
    offer.deadline_ms = 200;
    kvh::outgoing outgoing = pair.sender.offer(sent, offer);
    kvh::incoming incoming = pair.receiver.next(tiny::patience);
    EXPECT_EQ(outgoing.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_E_EXPIRED);
    EXPECT_EQ(outgoing.describe().state, KVH_STATUS_EXPIRED);
    EXPECT_EQ(incoming.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_E_EXPIRED);
    EXPECT_EQ(pair.sender.query(outgoing.describe().handoff_id), KVH_OUTCOME_EXPIRED);
    EXPECT_EQ(outgoing.try_commit(tiny::manifest(64)), KVH_E_EXPIRED);
    incoming.close();
    EXPECT_EQ(pair.to.describe().used_blocks, 0);
}

TEST(Faults, EitherSideCancels) {
    tiny::pair pair("tcp");
    kvh::sequence sent = tiny::filled(pair.from, 64);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 64;
    kvh::outgoing outgoing = pair.sender.offer(sent, offer);
    kvh::incoming incoming = pair.receiver.next(tiny::patience);
    incoming.cancel();
    EXPECT_EQ(incoming.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_E_ABORTED);
    EXPECT_EQ(outgoing.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_E_ABORTED);

    outgoing = pair.sender.offer(sent, offer);
    incoming.close();
    incoming = pair.receiver.next(tiny::patience);
    outgoing.cancel();
    EXPECT_EQ(outgoing.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_E_ABORTED);
    EXPECT_EQ(incoming.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_E_ABORTED);
    incoming.close();
    EXPECT_EQ(pair.to.describe().used_blocks, 0);
}

TEST(Faults, AFullPoolSaysWhatIsNeededAndWhatIsFree) {
    tiny::pair pair("unix", 1024);
    kvh::cache larger = tiny::cache(tiny::layout(), 4096);
    kvh::sender sender = kvh::sender::connect(pair.receiver.endpoint(), larger, kvh::make<kvh_sender_options>());
    kvh::sequence sent = tiny::filled(larger, 2048);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 2048;
    kvh::outgoing outgoing = sender.offer(sent, offer);
    EXPECT_EQ(outgoing.try_wait(KVH_EVENT_GRANTED, tiny::patience), KVH_E_REJECTED);
    kvh_error_info info = kvh::make<kvh_error_info>();
    ASSERT_EQ(kvh_last_error_info(outgoing.get(), &info), KVH_OK);
    EXPECT_EQ(info.reject_reason, KVH_REJECT_NO_SPACE);
    EXPECT_EQ(info.bytes_needed, 2048LL * 2 * 2 * tiny::layers * tiny::kv_heads * tiny::head_dim);
    EXPECT_EQ(info.bytes_free, 1024LL * 2 * 2 * tiny::layers * tiny::kv_heads * tiny::head_dim);
    EXPECT_EQ(outgoing.describe().state, KVH_STATUS_REJECTED);
}

TEST(Faults, AnOfferCanWaitForRoom) {
    tiny::pair pair("unix", 1024);
    kvh::sequence held = tiny::filled(pair.to, 1024), sent = tiny::filled(pair.from, 64);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 64;
    offer.wait_for_room_ms = 20000;
    kvh::outgoing outgoing = pair.sender.offer(sent, offer);
    EXPECT_EQ(outgoing.try_wait(KVH_EVENT_GRANTED, kvh::milliseconds(50)), KVH_TIMEOUT);
    EXPECT_EQ(pair.receiver.describe().waiting_offers, 1);
    held.close();
    EXPECT_EQ(outgoing.try_wait(KVH_EVENT_GRANTED, tiny::patience), KVH_OK);
}

TEST(Faults, AdmissionIsTheHosts) {
    struct host {
        std::string request, sender;
        static std::int32_t decide(void* user, const kvh_admission_request* request, std::int64_t* retry_after_ms, char* reason, std::size_t capacity) {
            host& self = *static_cast<host*>(user);
            self.request = request->request_id;
            self.sender = request->sender_name;
            *retry_after_ms = 250;
            std::strncpy(reason, "the queue is full", capacity);
            return request->total_tokens < 100;
        }
    } host;
    kvh_receiver_options options = kvh::make<kvh_receiver_options>();
    options.admission = host::decide;
    options.admission_user = &host;
    kvh_sender_options sending = kvh::make<kvh_sender_options>();
    sending.name = "prefill-3";
    tiny::pair pair("unix", 4096, 0, options, sending);
    kvh::sequence sent = tiny::filled(pair.from, 200);
    kvh::outgoing small = pair.send(sent, 64);
    EXPECT_EQ(small.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_OK);
    EXPECT_EQ(host.request, "request 7");
    EXPECT_EQ(host.sender, "prefill-3");
    // Not sent(): the answer may be here before the first layer is published, and that would throw it.
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 200;
    kvh::outgoing large = pair.sender.offer(sent, offer);
    EXPECT_EQ(large.try_wait(KVH_EVENT_COMMITTED, tiny::patience), KVH_E_REJECTED);
    EXPECT_NE(large.last_error().find("the queue is full"), std::string::npos) << large.last_error();
    kvh_error_info info = kvh::make<kvh_error_info>();
    kvh_last_error_info(large.get(), &info);
    EXPECT_EQ(info.retry_after_ms, 250);
}

TEST(Faults, CachesThatDoNotMatchSayInWhat) {
    kvh::cache to = tiny::cache(tiny::layout(), 256), from = tiny::cache(tiny::layout(tiny::group(), "another"), 256);
    kvh::receiver receiver = kvh::receiver::listen(tiny::address("unix"), to, kvh::make<kvh_receiver_options>());
    kvh::sender sender;
    EXPECT_EQ(kvh::sender::try_connect(receiver.endpoint(), from, kvh::make<kvh_sender_options>(), sender), KVH_E_MISMATCH);
    EXPECT_NE(kvh::last_error().find("another"), std::string::npos) << kvh::last_error();
    EXPECT_EQ(kvh::sender::try_connect("unix:///tmp/kvh-nobody-listens-here", to, kvh::make<kvh_sender_options>(), sender), KVH_E_TRANSPORT);
    EXPECT_EQ(kvh::sender::try_connect("carrier-pigeon://home", to, kvh::make<kvh_sender_options>(), sender), KVH_E_ARGUMENT);
}

TEST(Faults, ADuplicateIsAnsweredAsOne) {
    tiny::pair pair("loopback");
    kvh::sequence sent = tiny::filled(pair.from, 64);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 64;
    offer.handoff_id = kvh::parse_uuid("0f8fad5b-d9cb-469f-a165-70867728950e");
    kvh::outgoing first = pair.sender.offer(sent, offer);
    for (int layer = 0; layer < tiny::layers; layer++) first.publish(layer, 0, 64);
    first.commit(tiny::manifest(64));
    ASSERT_TRUE(first.wait(KVH_EVENT_COMMITTED, tiny::patience));
    EXPECT_EQ(kvh::to_string(pair.receiver.next(tiny::patience).describe().handoff_id), "0f8fad5b-d9cb-469f-a165-70867728950e");
    first.close();
    kvh::outgoing again = pair.sender.offer(sent, offer);
    EXPECT_EQ(again.try_wait(KVH_EVENT_GRANTED, tiny::patience), KVH_E_REJECTED);
    kvh_error_info info = kvh::make<kvh_error_info>();
    kvh_last_error_info(again.get(), &info);
    EXPECT_EQ(info.reject_reason, KVH_REJECT_DUPLICATE);
}

}  // namespace
