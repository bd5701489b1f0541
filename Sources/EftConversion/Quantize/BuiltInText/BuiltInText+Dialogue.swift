// SPDX-License-Identifier: Apache-2.0
// Conversations, questions and answers, written for this project.

extension BuiltInText {
    /// Talk between people, and between people and assistants.
    static let dialogue = [
        """
        User: My tomato plants have yellow leaves at the bottom. What is wrong?
        Assistant: Yellow leaves at the bottom have a few common causes. Look at three things first:

        1. **Water.** Push a finger five centimetres into the soil. If it is wet there, wait before you \
        water again; if it is dust, water deeply twice a week rather than a little every day.
        2. **Spots.** Brown rings on the yellow leaves point to early blight. Remove the leaves, and keep \
        the rest dry when watering.
        3. **Food.** If the whole leaf is evenly pale, the plant moves nitrogen from old leaves to new \
        ones. A balanced fertilizer every two weeks helps.

        Which of these fits best?
        User: No spots, evenly pale, and I have not fed them since May.
        Assistant: Then it is very likely a lack of nitrogen. Feed them now at half the strength that the \
        packet gives, and again after a week. The yellow leaves will not turn green again, but the new \
        ones should come out dark within ten days.
        User: Thanks! And can I eat the green ones that fell off?
        Assistant: Put them in a paper bag with an apple; most will ripen in a week. Very small, hard ones \
        are better left alone.
        """,
        """
        ### Instruction:
        Rewrite the sentence in the passive voice.

        ### Input:
        The gardener planted two hundred tulips along the wall.

        ### Response:
        Two hundred tulips were planted along the wall by the gardener.

        ### Instruction:
        Give three arguments for and three against working from home.

        ### Response:
        For: no commute, quieter hours for work that needs concentration, and freedom to live far from the \
        office. Against: fewer chance conversations, blurred borders between work and rest, and a worse \
        start for newcomers, who learn much by watching others.

        ### Instruction:
        Is 91 a prime number?

        ### Response:
        No. 91 = 7 × 13.
        """,
        """
        INSPECTOR. You say that you were here the whole evening.

        MRS. VANE. From seven until I heard the glass.

        INSPECTOR. And the piano?

        MRS. VANE. What about it?

        INSPECTOR. It is open. You told the sergeant that nobody had played since your husband left.

        (A pause. She closes the lid with one finger.)

        MRS. VANE. Nobody has. I was dusting it.

        INSPECTOR. At eleven at night.

        MRS. VANE. When else? It does not complain, and I cannot sleep. You are standing on the only letter \
        in this room that matters, by the way. No, the other foot.
        """,
        """
        <|im_start|>system
        You are a helpful assistant that answers briefly.<|im_end|>
        <|im_start|>user
        What is the difference between a list and a tuple in Python?<|im_end|>
        <|im_start|>assistant
        A list can be changed after it is made (`items.append(3)`), a tuple cannot. Use tuples for fixed \
        records and as keys of dictionaries, lists for everything that grows.<|im_end|>
        <|im_start|>user
        And which is faster?<|im_end|>
        <|im_start|>assistant
        Tuples are slightly smaller and quicker to create; for reading an element there is no difference \
        that you would notice.<|im_end|>
        [INST] Translate to German: The shop is closed on Mondays. [/INST] Der Laden ist montags geschlossen.
        """,
        """
        Q: A tank holds 240 litres. One tap fills it in 20 minutes, another in 30. How long do both take?
        A: The first tap gives 240 / 20 = 12 litres a minute, the second 240 / 30 = 8. Together they give \
        20 litres a minute, and 240 / 20 = 12. Both take 12 minutes.

        Q: Anna is twice as old as Ben was when Anna was as old as Ben is now. Together they are 49. How \
        old are they?
        A: Let a be Anna's age and b Ben's. Anna was b years old a - b years ago; Ben was then b - (a - b) \
        = 2b - a. So a = 2(2b - a), that is 3a = 4b. With a + b = 49 this gives a = 28 and b = 21.

        Q: Which planet has the shortest day?
        A: Jupiter, with a little under ten hours.

        Q: What does the word "ephemeral" mean? Use it in a sentence.
        A: It means lasting for a very short time. "The ephemeral stream runs only after heavy rain."

        Q: Is it true or false? All birds can fly.
        A: False. Penguins, ostriches, emus and kiwis are birds that cannot.
        """,
        """
        From: Priya Raman <priya@example.com>
        To: Team Logistics
        Subject: Re: Re: pallets in hall 3

        Hi all,

        quick update: 14 of the 22 pallets have been moved; the rest waits for the forklift, which comes \
        back from service on Thursday (they found a second leak). @Marco, could you ask the carrier whether \
        they can collect on Friday before noon instead? If not, we need 60 m² in hall 2 over the weekend.

        Thanks,
        Priya

        > On Mon, 3 June, Marco wrote:
        > Do we know yet when hall 3 will be free? The painters would like to start on the 10th.

        lol no way 😂 did u really bring the WHOLE cake on the bus?? 🎂🚌
        yes!! and guess who sat next to me... the baker 😅
        omg. did he say anything
        "needs more lemon" 🍋 and then he asked for a slice, so idk
        """,
        """
        Grandfather: Once there was a miller with one ear.
        Child: Why one?
        Grandfather: He had lent the other.
        Child: To whom?
        Grandfather: To his brother, who wanted to hear what the mill said at night. And what does a mill \
        say at night? The same as by day, only slower.
        Child: That is not a story.
        Grandfather: It is the beginning of one. The end is that he got it back, and from then on heard \
        everything twice, and was the only man in the valley who never had to ask "what?"
        """,
    ]
}
