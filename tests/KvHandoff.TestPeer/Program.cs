using System.Collections.Immutable;
using System.Globalization;
using KvHandoff.Memory;
using KvHandoff.Session;
using KvHandoff.TestPeer;
using KvHandoff.Transport;

// One side of a handoff of so many tokens.
if (args is [_, "prefill" or "decode", _] && int.TryParse(args[2], CultureInfo.InvariantCulture, out int tokens))
{
    ShapedHandoff.EndWithInput();
    try
    {
        return args[1] == "decode" ? await ShapedHandoff.ReceiveAsync(args[0], tokens) : await ShapedHandoff.SendAsync(args[0], tokens);
    }
    catch (Exception e) when (e is TransportException or HandoffException)
    {
        Console.Error.WriteLine(e.Message);
        return 3;
    }
}

// The other process of the shared-memory tests: connects to an endpoint and does what its second argument says.
if (args.Length != 2 || !TransportEndpoint.TryParse(args[0], out TransportEndpoint endpoint, out _))
{
    Console.Error.WriteLine("usage: KvHandoff.TestPeer ENDPOINT receive|send|echo|regions|listen, or ENDPOINT prefill|decode TOKENS");
    return 2;
}

// The side that listens, to be killed while its peer waits for it.
if (args[1] == "listen")
{
    await using ITransportListener listener = await SharedMemoryTransport.Instance.ListenAsync(endpoint, TransportOptions.Default, default);
    Console.WriteLine("listening");
    using IConnection? accepted = await listener.AcceptAsync(default);
    accepted!.Send(new byte[1]);
    return (int)accepted.Receive(new byte[1]).Status;
}

using IConnection connection = await SharedMemoryTransport.Instance.ConnectAsync(endpoint, TransportOptions.Default, default);
byte[] message = new byte[64];
switch (args[1])
{
    // Blocked in a call for ever, to be killed there; the first byte says that it is about to be.
    case "receive":
        connection.Send(new byte[1]);
        return (int)connection.Receive(message).Status;

    case "send":
        connection.Send(new byte[1]);
        return (int)connection.Send(new byte[64 << 20]).Status;

    // Gives every message back until the stream ends.
    case "echo":
        while (connection.Receive(message).IsOk && connection.Send(message).IsOk) { }
        return 0;

    // Writes byte i of region r as i * 31 + r, says so, and leaves when it is told to.
    case "regions":
        ImmutableArray<MemoryRegion> regions = ((ISharedMemoryPeer)connection).MapRegions();
        for (int r = 0; r < regions.Length; r++)
        {
            Span<byte> bytes = regions[r].Span(0, (int)regions[r].LengthBytes);
            for (int i = 0; i < bytes.Length; i++) bytes[i] = (byte)(i * 31 + r);
        }
        connection.Send(new byte[] { (byte)regions.Length });
        return (int)connection.Receive(message.AsSpan(0, 1)).Status;

    default:
        Console.Error.WriteLine($"'{args[1]}' is nothing this program does");
        return 2;
}
