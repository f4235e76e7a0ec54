using System.Text;
using KvHandoff.Native;
using static KvHandoff.AbiBench.Transfer;

namespace KvHandoff.AbiBench;

/// <summary>The same through the interface.</summary>
sealed unsafe class AbiPair : IDisposable
{
    readonly ulong _layout, _from, _to, _receiver, _sender, _sequence;
    readonly delegate* unmanaged<ulong, ulong, KvhOffer*, ulong*, int> _offer = (delegate* unmanaged<ulong, ulong, KvhOffer*, ulong*, int>)Library.Export("kvh_sender_offer");
    readonly delegate* unmanaged<ulong, int, int, int, int> _publish = (delegate* unmanaged<ulong, int, int, int, int>)Library.Export("kvh_outgoing_publish");
    readonly delegate* unmanaged<ulong, KvhManifest*, void*, int> _commit = (delegate* unmanaged<ulong, KvhManifest*, void*, int>)Library.Export("kvh_outgoing_commit");
    readonly delegate* unmanaged<ulong, uint, long, uint*, int> _wait = (delegate* unmanaged<ulong, uint, long, uint*, int>)Library.Export("kvh_wait");
    readonly delegate* unmanaged<ulong, long, ulong*, int> _next = (delegate* unmanaged<ulong, long, ulong*, int>)Library.Export("kvh_receiver_next");
    readonly delegate* unmanaged<ulong, ulong*, int> _take = (delegate* unmanaged<ulong, ulong*, int>)Library.Export("kvh_incoming_take");
    readonly delegate* unmanaged<ulong, KvhAttention*, float*, float*, float*, int> _attend = (delegate* unmanaged<ulong, KvhAttention*, float*, float*, float*, int>)Library.Export("kvh_attend");

    internal AbiPair(string scheme)
    {
        fixed (byte* name = "m\0"u8, revision = "r\0"u8, address = Encoding.UTF8.GetBytes(Address(scheme, "abi") + "\0"))
        {
            ulong handle;
            var model = new KvhModel { StructSize = (uint)sizeof(KvhModel), Name = name, Revision = revision, RopeTheta = 1e4 };
            var group = new KvhGroup { StructSize = (uint)sizeof(KvhGroup), LayerCount = Layers, KvHeads = KvHeads, HeadDim = HeadDim };
            Library.Check(((delegate* unmanaged<KvhModel*, KvhGroup*, int, ulong*, int>)Library.Export("kvh_layout_create"))(&model, &group, 1, &handle));
            _layout = handle;
            (_from, _to) = (Cache(0x3C), Cache(0));
            Library.Check(((delegate* unmanaged<byte*, ulong, void*, ulong*, int>)Library.Export("kvh_receiver_listen"))(address, _to, null, &handle));
            _receiver = handle;
            byte* endpoint = stackalloc byte[512];
            nuint needed;
            Library.Check(((delegate* unmanaged<ulong, byte*, nuint, nuint*, int>)Library.Export("kvh_receiver_endpoint"))(_receiver, endpoint, 512, &needed));
            Library.Check(((delegate* unmanaged<byte*, ulong, void*, ulong*, int>)Library.Export("kvh_sender_connect"))(endpoint, _from, null, &handle));
            _sender = handle;
            Library.Check(((delegate* unmanaged<ulong, ulong*, int>)Library.Export("kvh_sequence_create"))(_from, &handle));
            _sequence = handle;
        }

        Library.Check(((delegate* unmanaged<ulong, int, int>)Library.Export("kvh_sequence_reserve"))(_sequence, Tokens));
        Library.Check(((delegate* unmanaged<ulong, int, int>)Library.Export("kvh_sequence_advance"))(_sequence, Tokens));
    }

    internal void Run()
    {
        var offer = new KvhOffer { StructSize = (uint)sizeof(KvhOffer), TotalTokens = Tokens };
        var manifest = new KvhManifest { StructSize = (uint)sizeof(KvhManifest), Position = Tokens, FirstToken = -1 };
        ulong outgoing, incoming, landed;
        Library.Check(_offer(_sender, _sequence, &offer, &outgoing));
        for (int layer = 0; layer < Layers; layer++) Library.Check(_publish(outgoing, layer, 0, Tokens));
        Library.Check(_commit(outgoing, &manifest, null));
        Library.Check(_wait(outgoing, 2, -1, null));
        Library.Check(_next(_receiver, -1, &incoming));
        Library.Check(_wait(incoming, 2, -1, null));
        Library.Check(_take(incoming, &landed));
        Library.Close(landed);
        Library.Close(incoming);
        Library.Close(outgoing);
    }

    internal void Attend(int queryHeads, float[] query, float[] output, float[] sums)
    {
        fixed (float* q = query, o = output, s = sums)
        {
            for (int layer = 0; layer < 8; layer++)
            {
                var attention = new KvhAttention { StructSize = (uint)sizeof(KvhAttention), Layer = layer, QueryHeads = queryHeads };
                Library.Check(_attend(_sequence, &attention, q, o, s));
            }
        }
    }

    public void Dispose()
    {
        foreach (ulong handle in (ulong[])[_sequence, _sender, _receiver, _from, _to, _layout]) Library.Close(handle);
    }

    // Touched before it is measured, as the managed one is.
    ulong Cache(byte fill)
    {
        ulong cache;
        void* block;
        long bytes;
        var options = new KvhCacheOptions { StructSize = (uint)sizeof(KvhCacheOptions), Tokens = Tokens };
        Library.Check(((delegate* unmanaged<ulong, KvhCacheOptions*, ulong*, int>)Library.Export("kvh_cache_create"))(_layout, &options, &cache));
        var find = (delegate* unmanaged<ulong, int, int, int, void**, long*, int>)Library.Export("kvh_cache_block");
        for (int layer = 0; layer < Layers; layer++)
        {
            for (int b = 0; b < (Tokens + 63) / 64; b++)
            {
                Library.Check(find(cache, layer, b, 0, &block, &bytes));
                new Span<byte>(block, (int)bytes).Fill(fill);
            }
        }

        return cache;
    }
}
