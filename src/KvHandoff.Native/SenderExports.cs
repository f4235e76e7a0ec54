using System.Runtime.InteropServices;
using KvHandoff.Codec;
using KvHandoff.Session;

namespace KvHandoff.Native;

/// <summary>A sender, on its cache and its certificates.</summary>
sealed class NativeSender(NativeCache cache, NativeTls? tls) : NativeSource(tls is null ? [cache] : [cache, tls])
{
    internal KvSender Sender { get; private set; } = null!;

    internal NativeCache Cache => cache;

    internal override bool ClosingWaits => true;

    internal void Connect(string endpoint, KvSenderOptions options) => Sender = KvSender.ConnectAsync(endpoint, cache.Cache, options).GetAwaiter().GetResult();

    protected override void Free() => Sender.DisposeAsync().AsTask().GetAwaiter().GetResult();
}

/// <summary>Senders and their offers.</summary>
static unsafe class SenderExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_sender_connect")]
    static int Connect(byte* endpoint, ulong cache, KvhSenderOptions* options, ulong* sender)
    {
        try
        {
            HostStructs.RequireNotNull(endpoint);
            HostStructs.RequireNotNull(sender);
            CallbackScope.RequireOutside();
            using Pin<NativeCache> pin = HandleTable.Use<NativeCache>(cache);
            KvhSenderOptions given = HostStructs.ReadOrDefault(options);
            var read = new KvSenderOptions
            {
                Transport = TlsExports.TransportOf(given.Transport, out NativeTls? tls),
                Streams = HostStructs.RequireRange(given.Streams == 0 ? 1 : given.Streams, 1, Wire.WireConstants.MaxStreams, "streams"),
                Codec = CodecExports.OfferedId(given.Codec) ?? CodecId.Raw,
                HandshakeTimeout = HostStructs.Milliseconds(given.HandshakeTimeoutMs, TimeSpan.FromSeconds(10), "handshake_timeout_ms"),
                ResumeWithin = HostStructs.Milliseconds(given.ResumeWithinMs, TimeSpan.Zero, "resume_within_ms"),
            };
            if (Texts.ReadOrNull(given.Name) is { } name) read = read with { Name = name };
            var made = new NativeSender(pin.Target, tls);
            try
            {
                made.Connect(Texts.Read(endpoint), read);
                *sender = HandleTable.Add(made);
            }
            catch
            {
                made.Abandon();
                throw;
            }

            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(cache, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sender_path")]
    static int Path(ulong sender, byte* buffer, nuint capacity, nuint* needed)
    {
        try
        {
            using Pin<NativeSender> pin = HandleTable.Use<NativeSender>(sender);
            return Texts.Write(pin.Target.Sender.DescribePath().ToString(), buffer, capacity, needed);
        }
        catch (Exception e)
        {
            return Failure.Report(sender, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sender_steps")]
    static int Steps(ulong sender, uint* steps)
    {
        try
        {
            HostStructs.RequireNotNull(steps);
            using Pin<NativeSender> pin = HandleTable.Use<NativeSender>(sender);
            *steps = (uint)pin.Target.Sender.Plan.Steps;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(sender, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sender_query")]
    static int Query(ulong sender, KvhUuid* handoffId, long timeoutMs, int* outcome)
    {
        try
        {
            HostStructs.RequireNotNull(handoffId);
            HostStructs.RequireNotNull(outcome);
            CallbackScope.RequireOutside();
            using Pin<NativeSender> pin = HandleTable.Use<NativeSender>(sender);
            using var patience = new CancellationTokenSource();
            if (timeoutMs >= 0) patience.CancelAfter(TimeSpan.FromMilliseconds(Math.Min(timeoutMs, int.MaxValue)));
            try
            {
                *outcome = (int)pin.Target.Sender.QueryAsync(HostStructs.Read(*handoffId), patience.Token).GetAwaiter().GetResult();
                return Status.Ok;
            }
            catch (OperationCanceledException)
            {
                return Status.Timeout;
            }
        }
        catch (Exception e)
        {
            return Failure.Report(sender, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sender_offer")]
    static int Offer(ulong sender, ulong sequence, KvhOffer* offer, ulong* outgoing)
    {
        try
        {
            HostStructs.RequireNotNull(outgoing);
            using Pin<NativeSender> pin = HandleTable.Use<NativeSender>(sender);
            using Pin<NativeSequence> offered = HandleTable.Use<NativeSequence>(sequence);
            HandoffOffer read = Read(HostStructs.Read(offer));
            if (!ReferenceEquals(offered.Target.Cache, pin.Target.Cache)) throw new StatusException(Status.Argument, "The sequence is of another cache than the sender's.");
            if (read.TotalTokens > offered.Target.Own.Capacity) throw new StatusException(Status.Argument, $"total_tokens is {read.TotalTokens}; the sequence has room for {offered.Target.Own.Capacity}.");
            *outgoing = Start(new NativeOutgoing(pin.Target, offered.Target, read));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(sender, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sender_offer_in_place")]
    static int OfferInPlace(ulong sender, KvhOffer* offer, ulong* outgoing)
    {
        try
        {
            HostStructs.RequireNotNull(outgoing);
            using Pin<NativeSender> pin = HandleTable.Use<NativeSender>(sender);
            *outgoing = Start(new NativeOutgoing(pin.Target, null, Read(HostStructs.Read(offer))));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(sender, e);
        }
    }

    static ulong Start(NativeOutgoing made)
    {
        ulong handle;
        try
        {
            handle = HandleTable.Add(made);
        }
        catch
        {
            made.Abandon();
            throw;
        }

        made.Start();
        return handle;
    }

    static HandoffOffer Read(in KvhOffer given)
    {
        int tickets = HostStructs.RequireRange(given.TicketBytes, 0, Wire.WireConstants.MaxTicketBytes, "ticket_bytes");
        if (tickets > 0) HostStructs.RequireNotNull(given.Ticket);
        Guid id = HostStructs.Read(given.HandoffId);
        return new HandoffOffer
        {
            HandoffId = id == Guid.Empty ? Guid.NewGuid() : id,
            TotalTokens = HostStructs.RequireRange(given.TotalTokens, 1, Wire.WireConstants.MaxTokens, "total_tokens"),
            Codec = CodecExports.OfferedId(given.Codec),
            Deadline = HostStructs.Milliseconds(given.DeadlineMs, TimeSpan.FromSeconds(60), "deadline_ms"),
            RequestId = Texts.Read(given.RequestId),
            Priority = (byte)HostStructs.RequireRange(given.Priority, 0, 255, "priority"),
            Intent = (Wire.HandoffIntent)HostStructs.RequireEnum(given.Intent, 0, 3, "intent"),
            WaitForRoom = HostStructs.Milliseconds(given.WaitForRoomMs, TimeSpan.Zero, "wait_for_room_ms"),
            Ticket = new ReadOnlySpan<byte>(given.Ticket, tickets).ToArray(),
        };
    }
}
