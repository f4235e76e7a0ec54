using System.Runtime.InteropServices;

namespace KvHandoff.Native;

// Structs of kvhandoff.h, field by field; kvh_struct_layout lets a test compare the two.

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhErrorInfo
{
    internal uint StructSize;
    internal int Status;
    internal int RejectReason;
    internal int Reserved;
    internal long BytesNeeded;
    internal long BytesFree;
    internal long RetryAfterMs;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhUuid
{
    internal fixed byte Bytes[16];
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhClaims
{
    internal uint StructSize;
    internal uint Reserved;
    internal byte* Audience;
    internal byte* Sender;
    internal KvhUuid HandoffId;
    internal long MaxKvBytes;
    internal long NotBeforeUnixMs;
    internal long LifetimeMs;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhTlsOptions
{
    internal uint StructSize;
    internal int AllowAnyClient;
    internal byte* CertificateFile;
    internal byte* KeyFile;
    internal byte* RootsFile;
    internal byte* PinnedSha256;
    internal byte* ExpectedHost;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhTransport
{
    internal uint StructSize;
    internal uint Flags;
    internal ulong Tls;
    internal int SendBufferBytes;
    internal int ReceiveBufferBytes;
    internal long ConnectTimeoutMs;
    internal uint* AllowedUserIds;
    internal int AllowedUserIdCount;
    internal int Reserved;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhSenderOptions
{
    internal uint StructSize;
    internal int Streams;
    internal int Codec;
    internal int Reserved;
    internal long HandshakeTimeoutMs;
    internal long ResumeWithinMs;
    internal byte* Name;
    internal KvhTransport* Transport;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhOffer
{
    internal uint StructSize;
    internal int TotalTokens;
    internal KvhUuid HandoffId;
    internal int Codec;
    internal int Priority;
    internal int Intent;
    internal uint TicketBytes;
    internal byte* Ticket;
    internal long DeadlineMs;
    internal long WaitForRoomMs;
    internal byte* RequestId;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhOutgoingInfo
{
    internal uint StructSize;
    internal int State;
    internal KvhUuid HandoffId;
    internal int TotalTokens;
    internal int ReusedTokens;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhManifest
{
    internal uint StructSize;
    internal int Position;
    internal int FirstToken;
    internal int TokenCount;
    internal int* TokenIds;
    internal void* SamplerState;
    internal void* HostMetadata;
    internal uint SamplerStateBytes;
    internal uint HostMetadataBytes;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhCost
{
    internal uint StructSize;
    internal uint Reserved;
    internal long KvBytes;
    internal long WireBytes;
    internal long BytesCopied;
    internal long ElapsedNs;
    internal fixed long PhaseNs[9];
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhAdmissionRequest
{
    internal uint StructSize;
    internal int TotalTokens;
    internal KvhUuid HandoffId;
    internal byte* RequestId;
    internal byte* SenderName;
    internal long KvBytes;
    internal long BytesFree;
    internal long DeadlineMs;
    internal long GrantedBytes;
    internal int OpenHandoffs;
    internal int WaitingOffers;
    internal int Priority;
    internal int Intent;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhReceiverOptions
{
    internal uint StructSize;
    internal uint Flags;
    internal int MaxStreams;
    internal int ClockSkewMs;
    internal long LeaseMs;
    internal long HandshakeTimeoutMs;
    internal byte* Name;
    internal KvhTransport* Transport;
    internal ulong Tickets;
    internal delegate* unmanaged[Cdecl]<void*, KvhAdmissionRequest*, long*, byte*, nuint, int> Admission;
    internal void* AdmissionUser;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhReceiverInfo
{
    internal uint StructSize;
    internal int OpenHandoffs;
    internal int WaitingOffers;
    internal int QuarantinedHandoffs;
    internal long FencedFrames;
    internal long DataBytes;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhIncomingInfo
{
    internal uint StructSize;
    internal int State;
    internal KvhUuid HandoffId;
    internal int TotalTokens;
    internal int ReusedTokens;
    internal int Layers;
    internal int LayersLanded;
    internal int Priority;
    internal int Intent;
}
