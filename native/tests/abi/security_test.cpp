// Tickets and TLS.
#include "tiny_cache.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

namespace {

std::vector<std::uint8_t> key(std::uint8_t first) {
    std::vector<std::uint8_t> key(32);
    for (std::size_t i = 0; i < key.size(); i++) key[i] = static_cast<std::uint8_t>(first + i);
    return key;
}

struct guarded : tiny::pair {
    static kvh_receiver_options receiving(const kvh::keyring& ring) {
        kvh_receiver_options options = kvh::make<kvh_receiver_options>();
        options.name = "decode-1";
        options.tickets = ring.get();
        return options;
    }
    static kvh_sender_options sending() {
        kvh_sender_options options = kvh::make<kvh_sender_options>();
        options.name = "prefill-1";
        return options;
    }

    explicit guarded(const kvh::keyring& ring) : pair("unix", 1024, 0, receiving(ring), sending()) {}

    kvh_status attempt(const kvh::keyring& ring, const kvh_claims& claims, const kvh_uuid& id) {
        std::vector<std::uint8_t> ticket = ring.issue(claims);
        return attempt(ticket, id);
    }
    kvh_status attempt(const std::vector<std::uint8_t>& ticket, const kvh_uuid& id) {
        kvh::sequence sequence = tiny::filled(from, 64);
        kvh_offer offer = kvh::make<kvh_offer>();
        offer.total_tokens = 64;
        offer.handoff_id = id;
        offer.ticket = ticket.data();
        offer.ticket_bytes = static_cast<std::uint32_t>(ticket.size());
        kvh::outgoing outgoing = sender.offer(sequence, offer);
        kvh_status status = outgoing.try_wait(KVH_EVENT_GRANTED, tiny::patience);
        reason = outgoing.last_error();
        kvh_error_info info = kvh::make<kvh_error_info>();
        kvh_last_error_info(outgoing.get(), &info);
        if (status == KVH_E_REJECTED) {
            EXPECT_EQ(info.reject_reason, KVH_REJECT_UNAUTHORIZED);
        }
        return status;
    }

    std::string reason;
};

TEST(Tickets, AdmitWhatTheySayAndNothingElse) {
    kvh::keyring ring = kvh::keyring::create(1, key(1)), other = kvh::keyring::create(1, key(99));
    guarded pair(ring);
    kvh_claims claims = kvh::make<kvh_claims>();
    claims.audience = "decode-1";
    claims.sender = "prefill-1";
    claims.handoff_id = kvh::parse_uuid("11111111-2222-3333-4444-555555555501");
    claims.max_kv_bytes = 1 << 20;
    EXPECT_EQ(pair.attempt(ring, claims, claims.handoff_id), KVH_OK) << pair.reason;
    claims.handoff_id.bytes[15]++;
    EXPECT_EQ(pair.attempt(other, claims, claims.handoff_id), KVH_E_REJECTED);
    kvh_uuid another = claims.handoff_id;
    another.bytes[0]++;
    EXPECT_EQ(pair.attempt(ring, claims, another), KVH_E_REJECTED);
    claims.audience = "decode-2";
    EXPECT_EQ(pair.attempt(ring, claims, claims.handoff_id), KVH_E_REJECTED);
    EXPECT_NE(pair.reason.find("decode-2"), std::string::npos) << pair.reason;
    claims.audience = "decode-1";
    claims.max_kv_bytes = 100;
    EXPECT_EQ(pair.attempt(ring, claims, claims.handoff_id), KVH_E_REJECTED);
    claims.max_kv_bytes = 1 << 20;
    claims.not_before_unix_ms = 1000;
    EXPECT_EQ(pair.attempt(ring, claims, claims.handoff_id), KVH_E_REJECTED);
    claims.not_before_unix_ms = 0;
    std::vector<std::uint8_t> ticket = ring.issue(claims);
    ticket[40] ^= 1;
    EXPECT_EQ(pair.attempt(ticket, claims.handoff_id), KVH_E_REJECTED);
    EXPECT_EQ(pair.attempt(std::vector<std::uint8_t>(), claims.handoff_id), KVH_E_REJECTED);
    EXPECT_EQ(pair.to.describe().used_blocks, 0);
}

TEST(Tickets, KeysAreExchangedUnderARunningReceiver) {
    kvh::keyring ring = kvh::keyring::create(1, key(1)), issuer = kvh::keyring::create(2, key(50));
    guarded pair(ring);
    kvh_claims claims = kvh::make<kvh_claims>();
    claims.audience = "decode-1";
    claims.sender = "prefill-1";
    claims.handoff_id = kvh::parse_uuid("11111111-2222-3333-4444-555555555502");
    claims.max_kv_bytes = 1 << 20;
    EXPECT_EQ(pair.attempt(issuer, claims, claims.handoff_id), KVH_E_REJECTED);
    ring.add(2, key(50));
    EXPECT_EQ(pair.attempt(issuer, claims, claims.handoff_id), KVH_OK) << pair.reason;
    EXPECT_EQ(kvh_keyring_remove(ring.get(), 1), KVH_E_ARGUMENT) << "it signs";
    ring.sign_with(2);
    ring.remove(1);
    EXPECT_EQ(kvh_keyring_create(3, key(1).data(), 31, nullptr) < 0, true);
    EXPECT_EQ(ring.try_close(), KVH_E_IN_USE);
}

struct certificates {
    std::string directory;

    certificates() {
        char name[] = "/tmp/kvh-tls-XXXXXX";
        directory = mkdtemp(name);
        const auto run = [&](const std::string& command) { return std::system(("cd " + directory + " && openssl " + command + " >/dev/null 2>&1").c_str()) == 0; };
        made = run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority");
        for (const char* side : {"decode", "prefill"}) {
            std::string s = side;
            made = made && run("req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout " + s + ".key -out " + s + ".csr -subj /CN=" + s + " -addext subjectAltName=IP:127.0.0.1,DNS:localhost") &&
                   run("x509 -req -in " + s + ".csr -CA ca.pem -CAkey ca.key -CAcreateserial -out " + s + ".pem -days 2 -copy_extensions copyall");
        }
    }
    ~certificates() { std::system(("rm -rf " + directory).c_str()) == 0 ? void() : void(); }

    std::string file(const std::string& name) const { return directory + "/" + name; }
    kvh::tls side(const std::string& name) const {
        std::string certificate = file(name + ".pem"), own_key = file(name + ".key"), roots = file("ca.pem");
        kvh_tls_options options = kvh::make<kvh_tls_options>();
        options.certificate_file = certificate.c_str();
        options.key_file = own_key.c_str();
        options.roots_file = roots.c_str();
        return kvh::tls::create(options);
    }

    bool made = false;
};

TEST(Tls, HandsOverBetweenSidesThatKnowEachOther) {
    certificates all;
    if (!all.made) GTEST_SKIP() << "no openssl program to make certificates with";
    kvh::tls listening = all.side("decode"), connecting = all.side("prefill");
    kvh_transport transport = kvh::make<kvh_transport>(), client = kvh::make<kvh_transport>();
    transport.tls = listening.get();
    client.tls = connecting.get();
    kvh_receiver_options receiving = kvh::make<kvh_receiver_options>();
    receiving.transport = &transport;
    kvh_sender_options sending = kvh::make<kvh_sender_options>();
    sending.transport = &client;
    kvh::cache from = tiny::cache(tiny::layout(), 1024), to = tiny::cache(tiny::layout(), 1024);
    kvh::receiver receiver = kvh::receiver::listen("tls://127.0.0.1:0", to, receiving);
    {
        kvh::sender sender = kvh::sender::connect(receiver.endpoint(), from, sending);
        kvh::sequence sent = tiny::filled(from, 300);
        kvh_offer offer = kvh::make<kvh_offer>();
        offer.total_tokens = 300;
        kvh::outgoing outgoing = sender.offer(sent, offer);
        for (int layer = 0; layer < tiny::layers; layer++) outgoing.publish(layer, 0, 300);
        outgoing.commit(tiny::manifest(300));
        kvh::incoming incoming = receiver.next(tiny::patience);
        ASSERT_TRUE(incoming.wait(KVH_EVENT_COMMITTED, tiny::patience));
        EXPECT_EQ(tiny::attended(incoming.take()), tiny::attended(sent));
        EXPECT_EQ(listening.try_close(), KVH_E_IN_USE);
    }
    // Without a certificate of its own nobody gets in, and without any trust nobody gets out.
    std::string roots = all.file("ca.pem");
    kvh_tls_options anonymous = kvh::make<kvh_tls_options>();
    anonymous.roots_file = roots.c_str();
    kvh::tls nobody = kvh::tls::create(anonymous);
    client.tls = nobody.get();
    sending.handshake_timeout_ms = 5000;
    kvh::sender refused;
    EXPECT_EQ(kvh::sender::try_connect(receiver.endpoint(), from, sending, refused) <= -200, true) << kvh::last_error();
    kvh_tls_options missing = kvh::make<kvh_tls_options>();
    missing.roots_file = "/nowhere/ca.pem";
    kvh::tls none;
    EXPECT_LT(kvh::tls::try_create(missing, none), 0);
    EXPECT_EQ(receiver.try_close(), KVH_OK);
}

TEST(Transport, PlaintextStaysOnThisHostUnlessToldOtherwise) {
    kvh::cache cache = tiny::cache(tiny::layout(), 64);
    kvh::receiver receiver;
    EXPECT_EQ(kvh::receiver::try_listen("tcp://0.0.0.0:0", cache, kvh::make<kvh_receiver_options>(), receiver), KVH_E_TRANSPORT) << kvh::last_error();
    kvh_transport transport = kvh::make<kvh_transport>();
    transport.flags = KVH_TRANSPORT_ALLOW_REMOTE_PLAINTEXT;
    kvh_receiver_options options = kvh::make<kvh_receiver_options>();
    options.transport = &transport;
    EXPECT_EQ(kvh::receiver::try_listen("tcp://0.0.0.0:0", cache, options, receiver), KVH_OK) << kvh::last_error();
}

}  // namespace
