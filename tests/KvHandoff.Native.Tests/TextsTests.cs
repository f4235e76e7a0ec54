using System.Text;

namespace KvHandoff.Native.Tests;

public sealed unsafe class TextsTests
{
    private const string Text = "Größe 9 € 🙂 end";

    [Fact]
    public void Every_size_of_buffer_gets_whole_characters_and_a_terminator()
    {
        byte[] whole = Encoding.UTF8.GetBytes(Text);
        for (int capacity = 1; capacity <= whole.Length + 3; capacity++)
        {
            var buffer = new byte[capacity + 8];
            Array.Fill(buffer, (byte)0xEE);
            nuint needed = 0;
            int status;
            fixed (byte* b = buffer) status = Texts.Write(Text, b, (nuint)capacity, &needed);
            Assert.Equal(whole.Length + 1, (int)needed);
            Assert.Equal(capacity > whole.Length ? Status.Ok : Status.Buffer, status);
            int end = Array.IndexOf(buffer, (byte)0);
            Assert.InRange(end, 0, capacity - 1);
            string got = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(buffer, 0, end);
            Assert.StartsWith(got, Text, StringComparison.Ordinal);
            Assert.All(buffer[capacity..], b => Assert.Equal(0xEE, b));
        }
    }

    [Fact]
    public void A_size_can_be_asked_for_first()
    {
        nuint needed = 0;
        Assert.Equal(Status.Buffer, Texts.Write(Text, null, 0, &needed));
        Assert.Equal(Encoding.UTF8.GetByteCount(Text) + 1, (int)needed);
        Assert.Equal(Status.Null, Assert.Throws<StatusException>(() => Texts.Write(Text, null, 0, null)).Status);
    }

    [Fact]
    public void A_string_of_the_host_without_an_end_is_refused()
    {
        var endless = new byte[(64 << 10) + 1];
        Array.Fill(endless, (byte)'a');
        Assert.Equal(Status.Argument, Assert.Throws<StatusException>(() => Read(endless)).Status);
        endless[5] = 0;
        Assert.Equal("aaaaa", Read(endless));
        Assert.Equal("", Texts.Read(null));
    }

    private static string Read(byte[] text)
    {
        fixed (byte* t = text) return Texts.Read(t);
    }
}
