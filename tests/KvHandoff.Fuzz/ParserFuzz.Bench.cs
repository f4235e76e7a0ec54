using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Diagnostics;
using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Fuzz;

// What is damaged, and what decoders write to.
internal static partial class ParserFuzz
{
    /// <summary>Valid things to damage, and caches that decoders write to, with guards around what they may touch.</summary>
    private sealed class Bench : IDisposable
    {
        private const int Tokens = 100;
        private static readonly ModelIdentity Model = new("lab", "0123abcd", 10000);

        internal Bench()
        {
            KvCacheLayout plain = KvCacheLayout.Uniform(Model, 2, 2, 32), stored = KvCacheLayout.Uniform(Model, 2, 2, 32, ElementType.Fp8E4M3);
            Layouts = [plain, stored, KvCacheLayout.Latent(Model, 3, 64, 16), KvCacheLayout.Uniform(Model, 4, 2, 64, ElementType.Float16, 16, DimensionOrder.TokenMajor)];
            Shared = SharedSlab.Create("kvhandoff-lab", PagedKvCache.RequiredBytes(plain, 512));
            Target = PagedKvCache.Over(plain, Shared, 512);
            Plain = new Pair(plain, plain, Tokens);
            Stored = new Pair(plain, stored, Tokens);
            var whole = KvShard.Whole(plain, Tokens);
            Group = new HandoffGroup([whole], [whole], 0, 0, 0);
            Part = CachePart.All(plain);
            Id = Guid.NewGuid();
            byte[] key = new byte[32];
            Ticket = HandoffTicket.Issue(new TicketKeyRing(7, key), new TicketClaims { Audience = "decode", Sender = "prefill", HandoffId = Id, MaxKvBytes = 1 << 20 }).Encoded.ToArray();
            CanarySet set = AttentionCanary.CreateSeeded(Plain.Source, Tokens, Id, [(0, 0), (1, 1)])!;
            Canary = new byte[CanaryCodec.ByteCount(set)];
            CanaryCodec.Write(set, Canary);
            CanaryStates = CanaryPartialCodec.Write(
                [.. set.Pairs.Select(p => new CanaryPartial(CanaryPartial.NameOf(set, p), p.Layer, p.Head, new IndexRange(0, Tokens), true, CanaryPrecision.Fp8, null, 1.5f, p.Output, p.Output))])!.Value[0];
            Messages = Every(plain);
        }

        internal KvCacheLayout[] Layouts { get; }

        internal SharedSlab Shared { get; }

        internal PagedKvCache Target { get; }

        internal Pair Plain { get; }

        internal Pair Stored { get; }

        internal HandoffGroup Group { get; }

        internal CachePart Part { get; }

        internal Guid Id { get; }

        internal byte[] Ticket { get; }

        internal byte[] Canary { get; }

        internal byte[] CanaryStates { get; }

        internal ControlMessage[] Messages { get; }

        internal bool ParseWindow(byte[] bytes)
        {
            if (CacheWindow.TryRead(bytes, Target.Layout, [Shared], out PagedKvCache? cache) is not null) return false;
            // What was accepted must lie inside: touch its first and last block of every layer.
            foreach (KvBlockPool pool in cache!.Pools)
            {
                for (int layer = 0; layer < pool.Group.Layers.Length; layer++)
                {
                    pool.Block(layer, 0).Fill(1);
                    pool.Block(layer, pool.Capacity - 1).Fill(1);
                }
            }

            return true;
        }

        internal byte[] Encode(Pair pair, IKvCodec codec)
        {
            byte[] bytes = new byte[SegmentCoder.MaxEncodedBytes(pair.Transfer, codec, KvPlane.Key, KvSegment.GranuleTokens)];
            EncodedSegment segment = SegmentCoder.Encode(pair.Transfer, codec, pair.Source.View(0), 0, KvPlane.Key, 0, new byte[SegmentCoder.HistoryBytes(pair.Transfer, codec)], bytes);
            return bytes[..segment.Bytes];
        }

        internal bool Decode(Pair pair, IKvCodec codec, byte[] bytes)
        {
            // Head 1 and the second granule are not this segment's: whatever comes, they stay as they are.
            KvLayerView view = pair.Landing.View(0, Tokens);
            view.Row(1, KvPlane.Key, 0).Fill(0x5A);
            view.Row(0, KvPlane.Key, KvSegment.GranuleTokens).Fill(0x5A);
            bool good = SegmentCoder.TryDecode(pair.Transfer, codec, bytes, view, 0, KvPlane.Key, 0, out _);
            if (view.Row(1, KvPlane.Key, 0).ContainsAnyExcept((byte)0x5A) || view.Row(0, KvPlane.Key, KvSegment.GranuleTokens).ContainsAnyExcept((byte)0x5A))
                throw new InvalidOperationException("The decoder wrote outside its segment.");
            return good;
        }

        public void Dispose()
        {
            Plain.Dispose();
            Stored.Dispose();
            Target.Dispose();
            Shared.Dispose();
        }

        private ControlMessage[] Every(KvCacheLayout layout)
        {
            ImmutableArray<ImmutableArray<uint>> generations = [[1, 2, 3], [4]];
            return
            [
                new Hello(layout, "prefill", 2),
                new Welcome(5, Id, layout, 2, "decode") { Window = CacheWindow.Write(Target, [Shared]) },
                new Offer(Id, Tokens, KvShard.Whole(layout, Tokens), CodecId.Raw, 1000, "request", 3) { PrefixHashes = new byte[32], Ticket = Ticket, Group = Group.ToBytes() },
                new Grant(Id, 7, 1000, generations, 4096) { Landed = new byte[] { 3 }, Slots = generations },
                new Reject(Id, RejectReason.NoSpace, "no room", 10, 5, 100),
                new Finish(Id, 7, RowOracle.Manifest(Tokens, 9)) { Canary = Canary },
                new Committed(Id, 7, 1, 2, 3, 4, [5, 6]),
                new Abort(Id, 7, AbortReason.Cancelled, "why"),
                new Renew(Id, 7, 1000),
                new Query(Id),
                new Outcome(Id, HandoffOutcome.Aborted, "text"),
                new Fault(WireErrorCode.BadValue, "text"),
                new Released(Id, 7),
                new Prepared(Id, 1, true, "") { CanaryStates = CanaryStates },
                new Decision(Id, HandoffOutcome.Aborted, "why") { Reason = AbortReason.Corrupt },
            ];
        }
    }

    /// <summary>Rows to encode, and blocks to decode into.</summary>
    private sealed class Pair : IDisposable
    {
        private readonly PagedKvCache _from, _to;

        internal Pair(KvCacheLayout source, KvCacheLayout target, int tokens)
        {
            if (!TransferPlan.TryCreate(source, target, out TransferPlan? plan, out string? reason)) throw new InvalidOperationException(reason);
            Transfer = plan!.Groups[0];
            _from = PagedKvCache.Allocate(source, tokens);
            _to = PagedKvCache.Allocate(target, 128);
            Source = RowOracle.Fill(_from, tokens, 1);
            Landing = _to.CreateSequence();
            Landing.TryReserve(tokens);
        }

        internal GroupTransfer Transfer { get; }

        internal KvSequence Source { get; }

        internal KvSequence Landing { get; }

        public void Dispose()
        {
            Source.Dispose();
            Landing.Dispose();
            _from.Dispose();
            _to.Dispose();
        }
    }
}
