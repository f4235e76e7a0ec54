// What ends the library for a process: a fork's child, and kvh_shutdown.
#include "tiny_cache.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

TEST(Fork, LeavesTheChildWithAStatusAndTheParentUnharmed) {
    tiny::pair pair("unix");
    kvh::sequence sent = tiny::filled(pair.from, 64);
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        kvh_sequence_info info = kvh::make<kvh_sequence_info>();
        kvh_handle made = 0;
        kvh_model model = tiny::model();
        kvh_group group = tiny::group();
        bool told = kvh_sequence_describe(sent.get(), &info) == KVH_E_FORKED && kvh_close(sent.get()) == KVH_E_FORKED &&
                    kvh_layout_create(&model, &group, 1, &made) == KVH_E_FORKED && kvh_shutdown() == KVH_E_FORKED;
        _exit(told ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT_TRUE(pair.send(sent, 64).wait(KVH_EVENT_COMMITTED, tiny::patience));
}

TEST(Shutdown, ClosesEverythingAndAnswersWithAStatusFromThenOn) {
    tiny::pair pair("unix");
    kvh::sequence sent = tiny::filled(pair.from, 64);
    kvh_offer offer = kvh::make<kvh_offer>();
    offer.total_tokens = 64;
    kvh::outgoing outgoing = pair.sender.offer(sent, offer);
    ASSERT_TRUE(outgoing.wait(KVH_EVENT_GRANTED, tiny::patience));
    kvh::incoming incoming = pair.receiver.next(tiny::patience);
    kvh::sequence target = incoming.target();
    EXPECT_EQ(kvh_shutdown(), KVH_OK);
    EXPECT_EQ(kvh_open_handles(), 0);
    EXPECT_EQ(kvh_shutdown(), KVH_OK);
    kvh_sequence_info info = kvh::make<kvh_sequence_info>();
    EXPECT_EQ(kvh_sequence_describe(sent.get(), &info), KVH_E_SHUT_DOWN);
    kvh_handle made = 0;
    kvh_model model = tiny::model();
    kvh_group group = tiny::group();
    EXPECT_EQ(kvh_layout_create(&model, &group, 1, &made), KVH_E_SHUT_DOWN);
    EXPECT_EQ(kvh_close(sent.get()), KVH_E_HANDLE);
}

}  // namespace
