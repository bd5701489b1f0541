// SPDX-License-Identifier: Apache-2.0
// English prose of many kinds, written for this project.

extension BuiltInText {
    /// Articles, stories, instructions, letters and arguments.
    static let prose = [
        """
        A tide is the slow rise and fall of the sea that most coasts see twice a day. The Moon pulls \
        more strongly on the water that faces it than on the Earth's centre, and less strongly on the \
        water on the far side, so that two bulges form, and the coast turns through both of them in a \
        little less than twenty-five hours. The Sun does the same with about half the strength. When \
        Sun and Moon stand in one line, at new and full moon, their bulges add up to spring tides; at \
        the quarters they work against each other, and the neap tides are low. What a harbour \
        actually sees depends far more on the shape of the sea bed. In a wide ocean the difference \
        is less than a metre. In a funnel such as the Bay of Fundy it passes fifteen metres, because \
        the basin swings in the same rhythm as the pull of the Moon.

        People who live by the sea learned the rules long before anybody could explain them. Fishermen \
        counted the days since the last new moon; pilots wrote down, harbour by harbour, how many hours \
        after the Moon's passage the water stood highest. In the nineteenth century the tables were \
        computed by machines of brass wheels and a single long chain, each wheel standing for one \
        regular motion of Moon or Sun. A careful operator could draw a year of tides for one port in a \
        few hours. Today the same sums of cosines are done in a moment, but the constants in them still \
        come from patient measurement at a gauge in a well beside the quay.
        """,
        """
        The workshop stood at the end of Tanner Street, where the cobbles gave way to grass. Ilse had \
        inherited it from an uncle whom she had met only twice, together with four lathes, a cat of no \
        particular colour, and a ledger in which he had entered every repair since 1961. "Mrs. Okafor, \
        clock, mainspring, paid in eggs," said the first line. She read it aloud to the cat, who was not \
        interested.

        On the third morning the bell over the door rang. An old man put a box on the counter, and took \
        his hand away from it slowly, as one does from a sleeping child. "It has not run since the \
        flood," he said. "Your uncle told me to wait for dry weather."

        "And how long have you been waiting?"

        "Eleven years." He smiled. "It has been a wet decade."

        Inside the box lay a music machine: a drum with pins, a comb of steel teeth, two of them broken, \
        and under everything a thin line of dried mud. Ilse turned the crank a quarter of the way. It \
        gave one note, an A, rather flat, and then a sound like a door that does not want to open. She \
        thought of the ledger, and of the empty page that began with her own handwriting. Then she took \
        a pencil from behind her ear and wrote: Mr. Brandt, music, two teeth, patience.
        """,
        """
        How to sharpen a kitchen knife on a stone

        You need a stone with a coarse and a fine side, a damp cloth, and about twenty minutes. Lay the \
        cloth on the table so that the stone cannot slip, and wet the stone unless its maker says that \
        it wants oil. Hold the blade at roughly fifteen degrees: two coins under the back of the knife \
        are a good measure for most blades. First, draw the whole edge over the coarse side as if you \
        wanted to cut a thin slice from the stone. Keep the angle; it matters more than the pressure. \
        After ten strokes feel carefully across the edge, never along it. When you notice a fine burr \
        from heel to tip, turn the knife over and repeat. Second, go to the fine side and use less and \
        less pressure, changing sides after every stroke at the end. Third, remove the last burr by \
        pulling the edge backwards over leather or a folded newspaper. Test the result on a tomato, not \
        on your thumb. If the skin gives way under the weight of the blade alone, you are done.

        Common mistakes: a dry stone, which clogs; a rocking wrist, which rounds the edge; and \
        impatience, because the coarse side does nine tenths of the work and people leave it too soon.
        """,
        """
        RIVERTON, Tuesday. The town council voted nine to four last night to reopen the railway line to \
        Calder Junction, which has carried no passengers since 1974. The first trains are expected in \
        three years. According to the engineer's report, 27 kilometres of track must be renewed, two \
        bridges strengthened, and five level crossings fitted with barriers, at a cost of 38.5 million. \
        Two thirds of the sum will come from the regional transport fund.

        "People have asked for this for half a century," said Councillor Dana Whitlock, who chairs the \
        transport committee. Opponents doubt the numbers. The forecast of 2,100 passengers a day, argued \
        Peter Lindqvist, was made before the new bypass opened, and nobody had asked the commuters \
        again. A petition against the project has gathered 860 signatures, most of them from residents \
        of Mill Lane, where the gardens reach down to the old embankment. The committee will publish a \
        timetable in September; until then the land along the line may not be built on.
        """,
        """
        Why does bread rise? Yeast is a fungus of single cells. Given sugar and no air it lives by \
        fermentation: each molecule of glucose becomes two of alcohol and two of carbon dioxide. The gas \
        would simply escape if dough were a paste of starch. But wheat holds two groups of proteins, \
        glutenins and gliadins, and when flour is wetted and kneaded they link up in long elastic \
        sheets. These hold the bubbles, and stretch as they grow. In the oven three things happen in \
        turn. Up to about 40 degrees the yeast works faster; at 55 it dies. The gas expands and the \
        alcohol boils off, which makes the loaf jump. From 60 to 80 degrees starch swells and proteins \
        set, so that the walls of the bubbles become firm before the gas leaves them. The crust browns \
        only when the surface is dry and well above 140 degrees, in the reaction of amino acids with \
        sugars that bears the name of Louis-Camille Maillard. A baker changes all of this with very \
        little: more water gives larger holes, more salt a slower rise, a night in the refrigerator a \
        stronger flavour, because acids gather while the yeast sleeps.
        """,
        """
        Dear Margarethe,

        Thank you for the photographs, which arrived on the same day as the first snow. You ask how we \
        are getting on with the house. The short answer is: slowly. The roof is tight at last, and the \
        stove draws, but the well gave up in August and we have carried water from the Hallers ever \
        since, forty litres a day, which is more than one would think and less than one would like. \
        Jonas has built shelves in the wrong room and insists that it was always meant to be the right \
        one. I have stopped arguing, and moved the books.

        The children have learned to tell the time by the milk lorry. Do you remember the clock in your \
        mother's kitchen, which everybody knew to be eleven minutes fast, so that nobody was ever late \
        and nobody was ever on time? I thought of it when the school sent a letter about punctuality. \
        Please come in spring, when the road is open. Bring boots, and the recipe for the plum cake, \
        and whatever you are reading.

        With love from all of us,
        Anneke
        """,
        """
        It is often said that a language without exceptions would be easier to learn. There is something \
        in it, but less than one thinks. The irregular forms of a language are nearly always its most \
        frequent ones: be, have, go, give, take; man and men, foot and feet. They survive because they \
        are heard so often that nobody needs a rule for them, while rare words are pulled into the \
        regular pattern within a generation or two. A child who says "goed" has not made a mistake of \
        memory but a discovery of structure. Against this one may object that adults are not children, \
        and learn from tables rather than from ten thousand breakfasts. True; and yet experience in \
        classrooms suggests that vocabulary, idiom and sound cost far more hours than the list of \
        irregular verbs ever does. If I had to remove one difficulty from a language I was to learn, it \
        would not be its exceptions. It would be its articles.
        """,
        """
        Photosynthesis proceeds in two linked stages. In the light reactions, pigments bound to proteins \
        in the thylakoid membrane absorb photons and drive electrons from water to NADP+, releasing \
        oxygen and building up a gradient of protons across the membrane; ATP synthase uses that \
        gradient to phosphorylate ADP. In the Calvin cycle, the enzyme rubisco attaches carbon dioxide \
        to ribulose 1,5-bisphosphate. The six-carbon product splits at once into two molecules of \
        3-phosphoglycerate, which are reduced with ATP and NADPH to glyceraldehyde 3-phosphate. Five out \
        of every six of these are needed to regenerate the acceptor; the sixth is the net gain. Rubisco \
        is slow, about three turnovers a second, and it confuses oxygen with carbon dioxide often enough \
        to cost many plants a quarter of what they fix. Maize and sugar cane avoid the loss: they first \
        capture carbon in a four-carbon acid and carry it to cells where its concentration is high.
        """,
        """
        The defendant does not dispute that the contract was signed on 4 March, nor that delivery was due \
        within sixty days. The question is whether the strike at the port, which lasted from 19 April to \
        8 May, was an event "beyond the reasonable control of the seller" in the sense of clause 14(b). \
        In the court's view it was. The seller had no influence on the dispute, could not have foreseen \
        it when the contract was made, and showed by its letters of 20 and 27 April that it had looked \
        for another port without success. It does not follow, however, that the seller is free of every \
        duty. Clause 14(c) requires notice "without delay". Notice was given eleven days after the strike \
        began. For the costs that prompt notice would have avoided, namely the rent of the empty \
        warehouse from 21 to 30 April, the seller remains liable.
        """,
        """
        Chess opening, third lesson. After 1. e4 e5 2. Nf3 Nc6 White has three main ways to go on. With \
        3. Bb5, the Spanish, White presses on the knight that guards e5; the threat is slow, since after \
        4. Bxc6 dxc6 5. Nxe5 Black wins the pawn back with 5... Qd4. With 3. Bc4, the Italian, the bishop \
        looks at f7, the weakest square in Black's camp. And with 3. d4, the Scotch, White opens the \
        centre at once: 3... exd4 4. Nxd4, and both sides have free lines for their pieces. Beginners do \
        well to play all three for a while. Put every piece to a useful square once before moving any of \
        them twice, castle before the tenth move, and ask at each turn what your opponent's last move \
        attacks. Most games between beginners are not won; they are lost.

        The village orchestra had eleven violins, one viola, and an oboe that was also the postman. They \
        met on Thursdays in the fire station, because it had the only hall without an echo, and the \
        conductor had learned to leave a long pause after every loud passage, in case of a telephone.
        """,
    ]
}
