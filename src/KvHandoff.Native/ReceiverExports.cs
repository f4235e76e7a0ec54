using System.Runtime.InteropServices;
using KvHandoff.Session;

namespace KvHandoff.Native;

/// <summary>Receivers.</summary>
static unsafe class ReceiverExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_receiver_listen")]
    static int Listen(byte* endpoint, ulong cache, KvhReceiverOptions* options, ulong* receiver)
    {
        try
        {
            HostStructs.RequireNotNull(endpoint);
            HostStructs.RequireNotNull(receiver);
            CallbackScope.RequireOutside();
            using Pin<NativeCache> pin = HandleTable.Use<NativeCache>(cache);
            KvhReceiverOptions given = HostStructs.ReadOrDefault(options);
            if ((given.Flags & ~1u) != 0) throw new StatusException(Status.Enum, $"flags are 0x{given.Flags:x}; allowed: KVH_RECEIVER_SAME_HOST_TRUST.");
            LibraryState.RequireOpenSsl();
            var read = new KvReceiverOptions
            {
                Transport = TlsExports.TransportOf(given.Transport, out NativeTls? tls),
                MaxStreams = HostStructs.RequireRange(given.MaxStreams == 0 ? 8 : given.MaxStreams, 1, Wire.WireConstants.MaxStreams, "max_streams"),
                Lease = HostStructs.Milliseconds(given.LeaseMs, TimeSpan.FromSeconds(10), "lease_ms"),
                HandshakeTimeout = HostStructs.Milliseconds(given.HandshakeTimeoutMs, TimeSpan.FromSeconds(10), "handshake_timeout_ms"),
                SameHostTrust = (given.Flags & 1) != 0,
                Admission = given.Admission == null ? null : new HostAdmission(given.Admission, given.AdmissionUser).Decide,
            };
            if (Texts.ReadOrNull(given.Name) is { } name) read = read with { Name = name };
            NativeKeyring? keyring = null;
            if (given.Tickets != 0)
            {
                using Pin<NativeKeyring> keys = HandleTable.Use<NativeKeyring>(given.Tickets);
                keyring = keys.Target;
            }

            var made = new NativeReceiver(pin.Target, tls, keyring);
            try
            {
                made.Listen(Texts.Read(endpoint), read, HostStructs.Milliseconds(given.ClockSkewMs, TimeSpan.FromSeconds(30), "clock_skew_ms"));
                *receiver = HandleTable.Add(made);
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

    [UnmanagedCallersOnly(EntryPoint = "kvh_receiver_endpoint")]
    static int Endpoint(ulong receiver, byte* buffer, nuint capacity, nuint* needed)
    {
        try
        {
            using Pin<NativeReceiver> pin = HandleTable.Use<NativeReceiver>(receiver);
            return Texts.Write(pin.Target.Receiver.Endpoint, buffer, capacity, needed);
        }
        catch (Exception e)
        {
            return Failure.Report(receiver, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_receiver_describe")]
    static int Describe(ulong receiver, KvhReceiverInfo* info)
    {
        try
        {
            using Pin<NativeReceiver> pin = HandleTable.Use<NativeReceiver>(receiver);
            KvReceiver described = pin.Target.Receiver;
            HostStructs.Write(info, new KvhReceiverInfo
            {
                OpenHandoffs = described.OpenHandoffs,
                WaitingOffers = described.WaitingOffers,
                QuarantinedHandoffs = described.QuarantinedHandoffs,
                FencedFrames = described.FencedFrames,
                DataBytes = described.DataBytesReceived,
            });
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(receiver, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_receiver_next")]
    static int Next(ulong receiver, long timeoutMs, ulong* incoming)
    {
        try
        {
            HostStructs.RequireNotNull(incoming);
            using Pin<NativeReceiver> pin = HandleTable.Use<NativeReceiver>(receiver);
            if (timeoutMs != 0) CallbackScope.RequireOutside();
            long end = timeoutMs < 0 ? long.MaxValue : Environment.TickCount64 + Math.Min(timeoutMs, int.MaxValue);
            while (true)
            {
                if (pin.Target.Next() is { } next)
                {
                    *incoming = HandleTable.Add(new NativeIncoming(pin.Target, next));
                    return Status.Ok;
                }

                if (timeoutMs == 0) return Status.Pending;
                long left = end - Environment.TickCount64;
                if (left <= 0) return Status.Timeout;
                try
                {
                    // Another thread may take what this one is woken for.
                    pin.Target.Events.Wait(HandleEvents.Incoming, timeoutMs < 0 ? -1 : left);
                }
                catch (StatusException)
                {
                    return Status.End;
                }
            }
        }
        catch (Exception e)
        {
            return Failure.Report(receiver, e);
        }
    }
}

/// <summary>The host's word on offers.</summary>
sealed unsafe class HostAdmission(delegate* unmanaged[Cdecl]<void*, KvhAdmissionRequest*, long*, byte*, nuint, int> callback, void* user)
{
    const int MostReasonBytes = 512;

    readonly delegate* unmanaged[Cdecl]<void*, KvhAdmissionRequest*, long*, byte*, nuint, int> _callback = callback;
    readonly void* _user = user;

    internal AdmissionVerdict Decide(AdmissionRequest request)
    {
        byte* requestId = Texts.Copy(request.RequestId), senderName = Texts.Copy(request.SenderName), reason = stackalloc byte[MostReasonBytes];
        reason[0] = 0;
        CallbackScope.Enter();
        try
        {
            var described = new KvhAdmissionRequest
            {
                StructSize = (uint)sizeof(KvhAdmissionRequest),
                TotalTokens = request.TotalTokens,
                HandoffId = HostStructs.Write(request.HandoffId),
                RequestId = requestId,
                SenderName = senderName,
                KvBytes = request.KvBytes,
                BytesFree = request.BytesFree,
                DeadlineMs = (long)request.Deadline.TotalMilliseconds,
                GrantedBytes = request.GrantedBytes,
                OpenHandoffs = request.OpenHandoffs,
                WaitingOffers = request.WaitingOffers,
                Priority = request.Priority,
                Intent = (int)request.Intent,
            };
            long retryAfterMs = 0;
            if (_callback(_user, &described, &retryAfterMs, reason, MostReasonBytes) != 0) return AdmissionVerdict.Admit;
            reason[MostReasonBytes - 1] = 0;
            return AdmissionVerdict.Refuse(Texts.Read(reason), TimeSpan.FromMilliseconds(Math.Clamp(retryAfterMs, 0, Wire.WireConstants.MaxMilliseconds)));
        }
        finally
        {
            CallbackScope.Leave();
            NativeMemory.Free(requestId);
            NativeMemory.Free(senderName);
        }
    }
}
