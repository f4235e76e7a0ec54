using System.Net;
using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>What the errors of a stream socket mean for a transfer.</summary>
internal static class SocketErrors
{
    public static TransportStatus ToStatus(SocketError error) => error switch
    {
        SocketError.Success => TransportStatus.Ok,
        // Writing to a stream that the peer no longer reads gives EPIPE, before or after the reset itself has been reported.
        SocketError.ConnectionReset or SocketError.ConnectionAborted or SocketError.Shutdown => TransportStatus.Reset,
        SocketError.TimedOut => TransportStatus.TimedOut,
        SocketError.OperationAborted => TransportStatus.Aborted,
        _ => TransportStatus.Failed,
    };

    public static TransportResult ToResult(SocketError error, string connection, string what, long done, long total) =>
        new(ToStatus(error), $"{connection}: {Reason(error)} after {done} of {total} bytes were {what}");

    public static TransportResult EndOfStream(string connection, long done, long total) => done == 0
        ? new(TransportStatus.Closed, $"{connection}: the peer ended the stream in order")
        : new(TransportStatus.Truncated, $"{connection}: the peer ended the stream after {done} of {total} bytes of a message");

    /// <summary>The peer's address; null when the peer has gone already, of which the first transfer tells.</summary>
    public static EndPoint? RemoteOf(Socket socket)
    {
        try
        {
            return socket.RemoteEndPoint;
        }
        catch (SocketException)
        {
            return null;
        }
    }

    public static string Reason(SocketError error) => new SocketException((int)error).Message;
}
