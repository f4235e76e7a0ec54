using System.Runtime.InteropServices;
using KvHandoff.Session;

namespace KvHandoff.Native;

/// <summary>Keys of tickets. The verifiers that were made with the ring follow its changes.</summary>
sealed class NativeKeyring(TicketKeyRing keys) : NativeObject
{
    readonly Lock _gate = new();
    readonly List<TicketVerifier> _verifiers = [];
    TicketKeyRing _keys = keys;

    internal TicketKeyRing Keys => _keys;

    internal void Change(Func<TicketKeyRing, TicketKeyRing> change)
    {
        lock (_gate)
        {
            _keys = change(_keys);
            foreach (TicketVerifier verifier in _verifiers) verifier.Keys = _keys;
        }
    }

    internal TicketVerifier CreateVerifier(string audience, TimeSpan skew)
    {
        lock (_gate)
        {
            var verifier = new TicketVerifier(audience, _keys, new TicketVerifierOptions { ClockSkew = skew });
            _verifiers.Add(verifier);
            return verifier;
        }
    }

    internal void Forget(TicketVerifier verifier)
    {
        lock (_gate) _verifiers.Remove(verifier);
    }

    protected override void Free()
    {
    }
}

/// <summary>Keys and tickets.</summary>
static unsafe class TicketExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_keyring_create")]
    static int Create(uint keyId, byte* key, nuint keyBytes, ulong* keyring)
    {
        try
        {
            LibraryState.Require();
            HostStructs.RequireNotNull(keyring);
            *keyring = HandleTable.Add(new NativeKeyring(new TicketKeyRing(keyId, KeyOf(key, keyBytes))));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_keyring_add")]
    static int Add(ulong keyring, uint keyId, byte* key, nuint keyBytes)
    {
        try
        {
            using Pin<NativeKeyring> pin = HandleTable.Use<NativeKeyring>(keyring);
            byte[] copy = KeyOf(key, keyBytes).ToArray();
            pin.Target.Change(k => k.With(keyId, copy));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(keyring, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_keyring_sign_with")]
    static int SignWith(ulong keyring, uint keyId)
    {
        try
        {
            using Pin<NativeKeyring> pin = HandleTable.Use<NativeKeyring>(keyring);
            pin.Target.Change(k => k.SigningWith(keyId));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(keyring, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_keyring_remove")]
    static int Remove(ulong keyring, uint keyId)
    {
        try
        {
            using Pin<NativeKeyring> pin = HandleTable.Use<NativeKeyring>(keyring);
            pin.Target.Change(k => k.Without(keyId));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(keyring, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_ticket_issue")]
    static int Issue(ulong keyring, KvhClaims* claims, byte* ticket, nuint capacity, nuint* bytes)
    {
        try
        {
            HostStructs.RequireNotNull(bytes);
            using Pin<NativeKeyring> pin = HandleTable.Use<NativeKeyring>(keyring);
            KvhClaims given = HostStructs.Read(claims);
            LibraryState.RequireOpenSsl();
            if (given.NotBeforeUnixMs < 0 || given.NotBeforeUnixMs > DateTimeOffset.MaxValue.ToUnixTimeMilliseconds()) throw new StatusException(Status.Argument, $"not_before_unix_ms is {given.NotBeforeUnixMs}.");
            HandoffTicket issued = HandoffTicket.Issue(pin.Target.Keys, new TicketClaims
            {
                Audience = Texts.Read(given.Audience),
                Sender = Texts.Read(given.Sender),
                HandoffId = HostStructs.Read(given.HandoffId),
                MaxKvBytes = given.MaxKvBytes,
                NotBefore = given.NotBeforeUnixMs == 0 ? null : DateTimeOffset.FromUnixTimeMilliseconds(given.NotBeforeUnixMs),
                Lifetime = HostStructs.Milliseconds(given.LifetimeMs, TimeSpan.FromMinutes(5), "lifetime_ms"),
            });
            *bytes = (nuint)issued.Encoded.Length;
            if (capacity < *bytes) return Status.Buffer;
            HostStructs.RequireNotNull(ticket);
            issued.Encoded.Span.CopyTo(new Span<byte>(ticket, issued.Encoded.Length));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(keyring, e);
        }
    }

    static ReadOnlySpan<byte> KeyOf(byte* key, nuint bytes)
    {
        HostStructs.RequireNotNull(key);
        return new ReadOnlySpan<byte>(key, HostStructs.RequireRange((long)Math.Min(bytes, long.MaxValue), TicketKeyRing.MinKeyBytes, TicketKeyRing.MaxKeyBytes, "key_bytes"));
    }
}
